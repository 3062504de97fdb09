-- wrk script: posts the file named by the first argument; prints the exact result as one line of JSON.
function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  -- Formatted once: the same bytes for every request, no Lua string work under way.
  request_bytes = wrk.format()
end

function request()
  return request_bytes
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"failures":%d,"seconds":%f,"p50_us":%f,"p90_us":%f,"p99_us":%f,"p999_us":%f,"max_us":%f}\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9),
    latency.max))
end
