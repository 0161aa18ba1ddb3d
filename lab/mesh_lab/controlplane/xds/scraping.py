"""The Lua program of the listener for scrapes: gives the metrics Istio's names, and takes their packed labels apart.

Each request has a duration, so their number is that of the durations: a counter of Envoy's beside them would say the
same, and cost a proxy 3% of a request.
"""

from __future__ import annotations

from mesh_lab.controlplane.xds.metricrules import DURATION
from mesh_lab.controlplane.xds.peers import FIELDS, SEPARATOR, UNKNOWN
from mesh_lab.controlplane.xds.telemetry import (
    COMPUTED_TAG,
    EDIT_SEPARATOR,
    EDIT_TAG,
    GROUP_SEPARATOR,
    GROUPS,
    PACKED_TAG,
    STAT_PREFIX,
)


def _list(names: tuple[str, ...]) -> str:
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


SCRAPE_LUA = f"""
local GROUPS = {_list(GROUPS)}
local FIELDS = {_list(FIELDS)}
-- Splits into at most `limit` parts; the last takes what is left.
local function split(text, separator, limit)
  local parts, from = {{}}, 1
  while #parts < limit - 1 do
    local at = text:find(separator, from, true)
    if not at then break end
    parts[#parts + 1] = text:sub(from, at - 1)
    from = at + 1
  end
  parts[#parts + 1] = text:sub(from)
  return parts
end

local function known(value)
  if not value or value == "" or value == "-" then return "{UNKNOWN}" end
  return value
end

-- The service behind a cluster's name (`outbound|9080|v1|reviews.default.svc.cluster.local`), or behind a host's.
local function service_of(cluster)
  local host = (cluster or ""):match("[^|]*$")
  local name, namespace = host:match("^([^.]+)%.([^.]+)%.svc")
  if name then return host, name, namespace end
  if host:find(".", 1, true) then return host, host end
  return nil, host -- a cluster that leads to no service in particular
end

local function unpack_labels(packed)
  local group, labels = {{}}, {{}}
  local values = split(packed, "{GROUP_SEPARATOR}", #GROUPS)
  for index, name in ipairs(GROUPS) do group[name] = values[index] end
  local client = group.reporter == "source"
  local verified = client and known(group.other_principal) ~= "{UNKNOWN}"
    or group.connection_security_policy == "mutual_tls"
  local function label(name, value) labels[#labels + 1] = name .. '="' .. value .. '"' end
  local function peer(side, text)
    local parts = {{}}
    -- A host that is no pod of the mesh has no fields.
    if text and text:find("{SEPARATOR}", 1, true) then parts = split(text, "{SEPARATOR}", #FIELDS) end
    for index, field in ipairs(FIELDS) do
      local value = parts[index]
      if field == "principal" then value = verified and (value or group.other_principal) end
      label(side .. "_" .. field, known(value))
    end
    label(side .. "_cluster", known(parts[1]) == "{UNKNOWN}" and "{UNKNOWN}" or "Kubernetes")
  end
  label("reporter", group.reporter)
  peer("source", client and group.own_peer or group.other_peer)
  peer("destination", client and group.other_peer or group.own_peer)
  local service, name, namespace = service_of(group.service)
  label("destination_service", known(service))
  label("destination_service_name", known(name))
  label("destination_service_namespace", known(namespace))
  label("request_protocol", group.request_protocol)
  if group.request_protocol ~= "tcp" then
    label("response_code", known(group.response_code))
    label("grpc_response_status", group.grpc_response_status == "-" and "" or group.grpc_response_status)
  end
  label("response_flags", group.response_flags)
  label("connection_security_policy", known(group.connection_security_policy))
  return table.concat(labels, ",")
end

-- The number of requests, as the counter that Istio has for it. Where it has labels of its own it is counted apart.
local function with_requests(text)
  local head, lines = "# TYPE istio_requests_total counter\\n", {{}}
  for labels, number in text:gmatch("\\nistio_{DURATION}_count{{([^\\n]*)}} (%d+)") do
    if not labels:find('{EDIT_TAG}="u', 1, true) then
      lines[#lines + 1] = "istio_requests_total{{" .. labels .. "}} " .. number .. "\\n"
    end
  end
  if #lines == 0 then return text end
  local _, at = text:find(head, 1, true)
  if not at then return text .. head .. table.concat(lines) end
  return text:sub(1, at) .. table.concat(lines) .. text:sub(at + 1)
end

-- The labels of a sample as Telemetry wants them: some go, some come.
local function edited(labels)
  local kept, value_of, gone, come = {{}}, {{}}, {{}}, {{}}
  for name, value in labels:gmatch('([%w_]+)="([^"]*)"') do
    local added = name:match("^{COMPUTED_TAG}(.*)")
    if name == "{EDIT_TAG}" then
      local parts = split(value, "{EDIT_SEPARATOR}", 3)
      for each in parts[2]:gmatch("[^,]+") do gone[each] = true end
      for each, source in parts[3]:gmatch("([^,=]+)=([^,]*)") do come[#come + 1] = {{each, source}} end
    elseif added then
      come[#come + 1] = {{added, nil, known(value)}}
    else
      kept[#kept + 1] = name
      value_of[name] = value
    end
  end
  local made = {{}}
  for _, each in ipairs(come) do gone[each[1]] = true end
  for _, name in ipairs(kept) do
    if not gone[name] then made[#made + 1] = name .. '="' .. value_of[name] .. '"' end
  end
  for _, each in ipairs(come) do
    made[#made + 1] = each[1] .. '="' .. (each[3] or known(value_of[each[2]])) .. '"'
  end
  return table.concat(made, ",")
end

-- Samples that differed only in what has gone are one.
local function with_edits(text)
  if not text:find('{EDIT_TAG}="', 1, true) and not text:find("{COMPUTED_TAG}", 1, true) then return text end
  local lines, where, sums = {{}}, {{}}, {{}}
  for line in text:gmatch("([^\\n]*)\\n") do
    local name, labels, value = line:match("^(istio_[%w_]+){{([^\\n]*)}} (%S+)$")
    if not name then
      lines[#lines + 1] = line
    else
      local sample = name .. "{{" .. edited(labels) .. "}} "
      sums[sample] = (sums[sample] or 0) + tonumber(value)
      if not where[sample] then
        lines[#lines + 1] = ""
        where[sample] = #lines
      end
    end
  end
  for sample, at in pairs(where) do lines[at] = sample .. string.format("%.15g", sums[sample]) end
  return table.concat(lines, "\\n") .. "\\n"
end

function envoy_on_response(handle)
  local body = handle:body()
  if not body then return end
  local seen = {{}}
  local text = body:getBytes(0, body:length()):gsub("\\\\.", "_"):gsub("envoy_{STAT_PREFIX}_", "istio_")
  text = text:gsub('([{{,]){PACKED_TAG}="([^"]*)"', function(before, packed)
    local labels = seen[packed]
    if not labels then
      labels = unpack_labels(packed)
      seen[packed] = labels
    end
    return before .. labels
  end)
  body:setBytes(with_edits(with_requests(text)))
end
"""
