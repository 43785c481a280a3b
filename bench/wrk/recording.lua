-- One request of a session recording: 20 snapshots, 4 KB.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/recording.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/json' }
local snapshots = {}
for index = 1, 20 do
  snapshots[index] = string.format('{"type":3,"timestamp":%d,"data":{"source":1,"positions":['
    .. '{"x":%d,"y":204,"id":17,"timeOffset":-480},{"x":%d,"y":210,"id":17,"timeOffset":-430},'
    .. '{"x":312,"y":216,"id":17,"timeOffset":0}]}}', 1767268800000 + index * 50, index * 9, index * 11)
end
local body = '{"event":"$snapshot","uuid":"%s","timestamp":"%s","properties":{'
  .. '"token":"phc_bench_project_token_0000000000001","distinct_id":"user-%d","$session_id":"%s",'
  .. '"$window_id":"%s","$snapshot_data":[' .. table.concat(snapshots, ',') .. ']}}'

function request()
  local uuid = source.uuid()
  local text = body:format(uuid, source.now_iso(), source.count() % 10000, uuid, uuid)
  return wrk.format('POST', '/s', headers, text)
end
