-- Asks the gate about a request. Loaded by haproxy.cfg; HAProxy 2.6 or newer, built with Lua (as Debian's is).
-- Tested by tests/e2e/test_fronts.py as it stands here.

local patience = 5000 -- milliseconds

-- Of this connection, or of the gate's answer about it, not of the request.
local skipped = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["keep-alive"] = true,
    ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true, ["date"] = true,
}

-- What the app learns: put over what the client sent, removed where the gate says nothing.
local told = {
    "x-gate-subject", "x-gate-user", "x-gate-email-verified", "x-gate-roles", "x-gate-session", "x-gate-amr",
    "x-gate-auth-time", "x-gate-country", "x-gate-assertion", "cookie", "authorization", "x-api-key",
}

local function question(txn)
    local fields = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not skipped[name] and not name:find("^x%-forwarded%-") then
            fields[name] = {}
            for i = 0, #values do
                table.insert(fields[name], values[i])
            end
        end
    end
    fields["x-forwarded-method"] = { txn.f:method() }
    fields["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    fields["x-forwarded-host"] = { txn.f:req_fhdr("host") }
    fields["x-forwarded-uri"] = { txn.f:pathq() }
    fields["x-forwarded-for"] = { txn.f:src() }
    return fields
end

local function refuse(txn, answer)
    local status = answer.status
    local reply = txn:reply { status = 503 }
    if status and status >= 300 and status < 600 then
        reply:set_status(status)
        for name, values in pairs(answer.headers or {}) do
            if not skipped[name] then
                for i = 0, #values do
                    reply:add_header(name, values[i])
                end
            end
        end
        reply:set_body(answer.body or "")
    end
    txn:done(reply)
end

core.register_action("gatekeeper", { "http-req" }, function(txn, gate)
    local ask = "http://" .. gate .. "/_gate/verify/forward"
    local answer = core.httpclient():get { url = ask, headers = question(txn), timeout = patience }
    if not answer or answer.status ~= 200 then
        return refuse(txn, answer or {})
    end
    for _, name in ipairs(told) do
        local values = answer.headers[name]
        if values and values[0] ~= "" then
            txn.http:req_set_header(name, values[0])
        else
            txn.http:req_del_header(name)
        end
    end
    local renewed = answer.headers["set-cookie"]
    if renewed then
        txn:set_var("txn.gate_cookie", renewed[0])
    end
end, 1)
