-- One capture event a request, like a form beacon: data= is base64 of its JSON.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/form.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/x-www-form-urlencoded' }
local encoded = function(text) return (source.base64(text):gsub('+', '%%2B'):gsub('/', '%%2F')) end
local open = source.pad('{ "api_key":"phc_bench_project_token_0000000000001","event":"$pageview", "distinct_id":')
local head = encoded(open .. source.pad('"user-000042","properties":{'
  .. '"$current_url":"https://app.example.com/projects/42/dashboard?tab=overview&range=7d",'
  .. '"$browser":"Chrome","$browser_version":126,"$os":"Mac OS X","$screen_height":1080,'
  .. '"$screen_width":1920,"$lib":"web","$lib_version":"1.200.0",'
  .. '"$referrer":"https://www.example.com/","title":"Dashboard","plan":"scale","seats":25},')
  .. '"uuid": "')
local tail = encoded('"} ')

function request()
  return wrk.format('POST', '/e', headers, 'data=' .. head .. encoded(source.uuid()) .. tail)
end
