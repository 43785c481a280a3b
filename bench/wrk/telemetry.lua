-- Ten telemetry events a request. The server under test needs RATE_TELEMETRY_PER_MINUTE=0.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/telemetry.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/json' }
local event = '{"id":"%s","type":"custom","name":"button_clicked","ts":%d,"app":"bench-app",'
  .. '"release":"1.4.2","sessionId":"session-%d","user":{"id":"user-%d"},'
  .. '"props":{"page":"/checkout","button":"buy","variant":"b","duration":125.5}}'

function request()
  local now, events = source.now_ms(), {}
  for index = 1, 10 do
    local uuid = source.uuid()
    local user = source.count() % 10000
    events[index] = event:format(uuid, now, user, user)
  end
  local body = '[' .. table.concat(events, ',') .. ']'
  return wrk.format('POST', '/api/telemetry/events', headers, body)
end
