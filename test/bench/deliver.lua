-- The requests that wrk sends: deliveries signed beforehand.
--
--     wrk ... -s deliver.lua URL -- PROVIDER FILE REUSE
--
-- FILE has a line per delivery: its path, a tab, its signature, a tab, its body.
-- REUSE is "keep-alive", or "per request" for a connection each.  At the end
-- prints a line "result,..." with the values of the columns "requests" to
-- "timeouts" of the table "measurements" in results.sql.

-- What each provider sends besides the body.  Where it gives a delivery an id,
-- "id" names the header; every request then gets an id that no other has.
local formats = {
    ecomanager = {
        signature = "X-Ecomanager-Signature",
        headers = {
            ["X-Ecomanager-Event"] = "OrderCreated",
            ["X-Ecomanager-Source"] = "https://myshop.ecomanager.dz",
            ["X-Ecomanager-Webhook-ID"] = "61",
        },
    },
    github = {
        signature = "X-Hub-Signature-256",
        prefix = "sha256=",
        id = "X-GitHub-Delivery",
        headers = {
            ["X-GitHub-Event"] = "push",
            ["X-GitHub-Hook-ID"] = "292430182",
        },
    },
}

local thread_count = 0

function setup(thread)
    thread_count = thread_count + 1
    thread:set("thread_number", thread_count)
end

-- Each thread begins with another delivery.
local requests, tails = {}, {}
local count, position = 0, 0
local format

-- The numbers 0 to 65535 in hexadecimal, of which random ids are put together:
-- cheaper than to format each.
local hex = {}

local function seed()
    local source = io.open("/dev/urandom", "rb")
    local a, b, c, d, e, f = source:read(6):byte(1, 6)
    source:close()
    math.randomseed(((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f)
end

function init(arguments)
    local provider, file, reuse = arguments[1], arguments[2], arguments[3]
    format = formats[provider] or error("no format for provider " .. tostring(provider))
    for line in io.lines(file) do
        local path, signature, body = line:match("^([^\t]+)\t([^\t]+)\t(.+)$")
        local headers = { ["Content-Type"] = "application/json", ["User-Agent"] = "bench" }
        for name, value in pairs(format.headers) do
            headers[name] = value
        end
        if reuse == "per request" then
            headers["Connection"] = "close"
        end
        headers[format.signature] = (format.prefix or "") .. signature
        count = count + 1
        requests[count] = wrk.format("POST", path, headers, body)
        if format.id then
            -- the id becomes the first header
            local first_line_end = requests[count]:find("\r\n", 1, true)
            tails[count] = requests[count]:sub(first_line_end)
            requests[count] = requests[count]:sub(1, first_line_end - 1) .. "\r\n" .. format.id .. ": "
        end
    end
    for i = 0, 65535 do
        hex[i] = string.format("%04x", i)
    end
    seed()
    position = (thread_number * 97) % count
end

local random = math.random

function request()
    position = position % count + 1
    if not format.id then
        return requests[position]
    end
    return requests[position]
        .. hex[random(0, 65535)] .. hex[random(0, 65535)] .. "-" .. hex[random(0, 65535)]
        .. "-" .. hex[random(0, 65535)] .. "-" .. hex[random(0, 65535)]
        .. "-" .. hex[random(0, 65535)] .. hex[random(0, 65535)] .. hex[random(0, 65535)]
        .. tails[position]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format("result,%d,%.6f,%d,%d,%d,%d,%d,%d,%d", summary.requests, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99), errors.status, errors.connect, errors.read,
        errors.write, errors.timeout))
end
