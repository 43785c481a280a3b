-- One link event a request. The server under test needs RATE_LINK_PER_MINUTE=0.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/link.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
setup, init, done = source.setup, source.init, verdict.done

local headers = { ['Content-Type'] = 'application/json' }
local body = '{"event_id":"%s","event_type":"conversion","link_id":"abc123","link_slug":"promo-summer",'
  .. '"link_original_url":"https://example.com/summer-promotion","event_attributes":{"page":"/checkout",'
  .. '"product_id":"xyz789"},"user_id":"user123","team_id":"team456","project_id":"proj789",'
  .. '"visitor_id":"vis-%d","is_bounce":false,"time_spent_sec":120,"conversion_type":"purchase",'
  .. '"conversion_value":99.99,"utm_source":"email","utm_campaign":"summer_sale"}'

function request()
  local uuid = source.uuid()
  return wrk.format('POST', '/api/events/track', source.visit(headers), body:format(uuid, source.count() % 10000))
end
