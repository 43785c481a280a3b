-- 50 capture events a request, like a server SDK, uncompressed.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/batch.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/json' }
local head = '{"api_key":"phc_bench_project_token_0000000000001","batch":['
local event = '{"event":"$pageview","uuid":"%s","distinct_id":"user-%d","timestamp":"%s","properties":{'
  .. '"$current_url":"https://app.example.com/projects/42/dashboard?tab=overview&range=7d",'
  .. '"$browser":"Chrome","$browser_version":126,"$os":"Mac OS X","$screen_height":1080,'
  .. '"$screen_width":1920,"$lib":"web","$lib_version":"1.200.0","$referrer":"https://www.example.com/",'
  .. '"title":"Dashboard","plan":"scale","seats":25,"experiment":"checkout-v2"}}'

function request()
  local now, events = source.now_iso(), {}
  for index = 1, 50 do
    local uuid = source.uuid()
    events[index] = string.format(event, uuid, source.count() % 100000, now)
  end
  return wrk.format('POST', '/batch', headers, head .. table.concat(events, ',') .. ']}')
end
