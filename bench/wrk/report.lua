-- Ten report events of a mobile app a request.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/report.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = {
  ['Content-Type'] = 'application/json', ['X-API-KEY'] = 'bench-api-key', ['X-USER-ID'] = 'user_123456',
  ['X-APP-ID'] = 'com.example.app', ['X-PLATFORM'] = 'iOS', ['X-VERSION'] = '1.0.0',
}
local event = '{"name":"purchase_completed","user":"user_%d","sessionId":"session_abc123","extra":{'
  .. '"product_id":"premium_monthly","price":9.99,"currency":"USD","screen":"home"}}'

function request()
  local events = {}
  for index = 1, 10 do events[index] = event:format(index) end
  headers['Idempotency-Key'] = source.uuid()
  local body = '{"events":[' .. table.concat(events, ',') .. ']}'
  return wrk.format('POST', '/v2/users/report/events', headers, body)
end
