-- 50 events a request, gzip, from a pool of bodies (bun run bench:pool). A run sends no body twice.
--   wrk -t1 -c64 -d10 --latency -s bench/wrk/batch-gzip.lua http://127.0.0.1:3000
package.path = (debug.getinfo(1, 'S').source:match('^@(.*)/') or '.') .. '/?.lua;' .. package.path
local verdict = require 'verdict'
local source = require 'source'
local folder = debug.getinfo(1, 'S').source:match('^@(.*)/wrk/') or 'bench'
local pool = assert(io.open(folder .. '/.pool/batch-gzip.bin', 'rb'), 'no pool: bun run bench:pool')

local headers = { ['Content-Type'] = 'application/json', ['Content-Encoding'] = 'gzip' }

local function size_of(bytes)
  local a, b, c, d = bytes:byte(1, 4)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- A warm-up uses the last third of the pool, so that the run after it has unused bodies. Later runs skip what earlier ones used.
function init()
  for _ = 1, tonumber(os.getenv('BENCH_POOL_SKIP') or '0') do pool:seek('cur', size_of(pool:read(4))) end
  if not os.getenv('BENCH_POOL_TAIL') then return end
  local tail = pool:seek('end') * 2 / 3
  pool:seek('set', 0)
  while pool:seek() < tail do pool:seek('cur', size_of(pool:read(4))) end
end

function request()
  local size = pool:read(4)
  if not size then
    -- A repeated body would measure the server on duplicates only. The baseline does not detect duplicates.
    assert(os.getenv('BENCH_POOL_WRAP'), 'the pool is used up: bun run bench:pool --bodies N')
    pool:seek('set', 0)
    size = pool:read(4)
  end
  return wrk.format('POST', '/batch', source.visit(headers), pool:read(size_of(size)))
end

done = verdict.done
