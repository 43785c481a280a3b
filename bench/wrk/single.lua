-- One capture event of 573 bytes a request, each with its own uuid.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/single.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/json' }
local head = '{"api_key":"phc_bench_project_token_0000000000001","event":"$pageview","uuid":"'
local tail = '","distinct_id":"user-%06d","timestamp":"2026-01-01T12:00:00.000Z","properties":{'
  .. '"$current_url":"https://app.example.com/projects/42/dashboard?tab=overview&range=7d",'
  .. '"$browser":"Chrome","$browser_version":126,"$os":"Mac OS X","$screen_height":1080,'
  .. '"$screen_width":1920,"$lib":"web","$lib_version":"1.200.0","$session_id":"0190%08x-7000-8000",'
  .. '"$referrer":"https://www.example.com/","title":"Dashboard","plan":"scale","seats":25,'
  .. '"experiment":"checkout-v2"}}'

function request()
  local body = head .. source.uuid() .. string.format(tail, source.count() % 100000, source.count())
  return wrk.format('POST', '/e', source.visit(headers), body)
end
