-- Ids that no earlier run has used: with repeated ids the server would drop every event as a duplicate.
local source = {}

local threads, seed, number, count = 0, 0, 0, 0

-- For each script: `setup = source.setup` numbers wrk's threads, `init = source.init` seeds them.
function source.setup(thread)
  threads = threads + 1
  thread:set('number', threads)
end

function source.init()
  number = _G.number or 1
  local device = assert(io.open('/dev/urandom', 'rb'))
  for _, byte in ipairs({ device:read(4):byte(1, 4) }) do seed = (seed * 256 + byte) % 4294967296 end
  device:close()
end

function source.uuid()
  count = count + 1
  return string.format('%08x-%04x-4000-8000-%012x', seed, number, count)
end

function source.count()
  return count
end

-- Milliseconds since 1970, in steps of a second: wrk's Lua has no finer clock.
function source.now_ms()
  return os.time() * 1000
end

function source.now_iso()
  return os.date('!%Y-%m-%dT%H:%M:%S.000Z')
end

local agents = {
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
}
local visits, has_visitors = 0, os.getenv('BENCH_VISITORS')

-- BENCH_VISITORS=1: the headers of a visitor, another one with each request. The addresses are of MaxMind's test data.
function source.visit(headers)
  if not has_visitors then return headers end
  visits = visits + 1
  headers['User-Agent'] = agents[visits % #agents + 1]
  headers['X-Forwarded-For'] = '81.2.69.' .. (144 + visits % 48)
  return headers
end

local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

-- Base64 of a text whose length is a multiple of three, so that pieces can be joined without padding.
function source.base64(text)
  assert(#text % 3 == 0)
  return (text:gsub('...', function(three)
    local a, b, c = three:byte(1, 3)
    local bits = a * 65536 + b * 256 + c
    local written = ''
    for shift = 3, 0, -1 do
      local at = math.floor(bits / 64 ^ shift) % 64 + 1
      written = written .. letters:sub(at, at)
    end
    return written
  end))
end

-- Pads JSON with spaces to a multiple of three bytes.
function source.pad(text)
  return text .. string.rep(' ', (3 - #text % 3) % 3)
end

return source
