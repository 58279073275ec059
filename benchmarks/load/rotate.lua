-- wrk: send the prepared requests of a file in turn; say what happened as one line of JSON.
-- Called by gatebench/load.py. REQUESTS names a file of header blocks separated by empty lines; with BODY each is a POST,
-- with FRESH each has a field that no other has.
local requests, turn = {}, 0
local fresh, count = os.getenv("FRESH"), 0
local body = os.getenv("BODY")
local method = body and "POST" or "GET"

function init(args)
  local block = {}
  local function flush()
    if #block > 0 then
      local headers = {}
      for _, line in ipairs(block) do
        local name, value = line:match("^([^:]+): (.*)$")
        headers[name] = value
      end
      requests[#requests + 1] = wrk.format(method, wrk.path, headers, body)
      block = {}
    end
  end
  for line in io.lines(os.getenv("REQUESTS")) do
    if line == "" then flush() else block[#block + 1] = line end
  end
  flush()
  if #requests == 0 then requests[1] = wrk.format(method, wrk.path, {}, body) end
end

function request()
  turn = turn % #requests + 1
  if not fresh then return requests[turn] end
  count = count + 1
  return requests[turn]:sub(1, -3) .. "X-Trace: " .. count .. "\r\n\r\n"
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "seconds": %.6f, "bytes": %d, "refused": %d, "broken": %d, "p50": %.3f, "p90": %.3f, "p99": %.3f, "max": %.3f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
