-- The verdict of every script: PASS if P95 is below 200 ms and at most 1 % of the requests fail.
local verdict = {}

verdict.p95_ms_max = 200
verdict.errors_share_max = 0.01

-- Prints one line of JSON, then PASS or FAIL.
function verdict.done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  local share = failed / math.max(1, summary.requests + errors.connect)
  local p95_ms = latency:percentile(95) / 1000
  local passed = p95_ms < verdict.p95_ms_max and share <= verdict.errors_share_max
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"errors":%d,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, failed,
    latency:percentile(50) / 1000, p95_ms, latency:percentile(99) / 1000))
  io.write(string.format('%s: P95 %.2f ms (limit %d), errors %.3f %% (limit 1)\n',
    passed and 'PASS' or 'FAIL', p95_ms, verdict.p95_ms_max, share * 100))
end

return verdict
