-- One batch: whether a rule holds for a key and what happens to the key is one step on the server, so that a key which gains a
-- time to live, or is written, after we saw it is judged as it is now.
--
-- ARGV: microseconds, keys of one UNLINK, 'act' or 'count', number of rules; of each rule its condition, limit, action and
-- milliseconds; then the keys. The keys are no KEYS: in a cluster a batch is one server's, not one slot's.
-- Answer: keys done; of each rule its keys; lookups that found a key, and that did not; the error that ended it, or ''.

-- Microseconds; where that may not be asked, the number of keys is all that bounds a batch.
local function clock()
  local time = redis.pcall('TIME')
  return time.err and 0 or time[1] * 1000000 + time[2]
end

local began = clock()
local budget = tonumber(ARGV[1])
local chunk = tonumber(ARGV[2])
local act = ARGV[3] == 'act'
local rules = tonumber(ARGV[4])
local first = 5 + 4 * rules
local done, hits, misses, trouble = {}, 0, 0, ''
for rule = 1, rules do
  done[rule] = 0
end

local function ask(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    trouble = answer.err
    return nil
  end
  return answer
end

local function seen(there)
  if there then
    hits = hits + 1
  else
    misses = misses + 1
  end
  return there
end

local function holds(key, condition, limit)
  if condition == 'always' then
    return true
  elseif condition == 'idle' then
    local idle = ask('OBJECT', 'IDLETIME', key)
    return idle ~= nil and seen(idle and true) and idle > limit
  elseif condition == 'size' then
    local size = ask('MEMORY', 'USAGE', key)
    -- Not counted by the server.
    return size and size > limit or false
  end
  local ttl = ask('PTTL', key)
  if ttl == nil or not seen(ttl ~= -2) then
    return false
  elseif condition == 'no-ttl' then
    return ttl == -1
  end
  return ttl > limit
end

-- 1 where the key is changed, or would be.
local function apply(key, action, ms)
  if action == 'expire' then
    local ttl = ask('PTTL', key)
    if ttl == nil or not seen(ttl ~= -2) or not (ttl == -1 or ttl > ms) then
      return 0
    end
    return act and ask('PEXPIRE', key, ms) or 1
  elseif act then
    return ask('UNLINK', key) or 0
  end
  -- Only counted, with what the other questions need too: a user who may clean may count.
  local ttl = ask('PTTL', key)
  return ttl ~= nil and seen(ttl ~= -2) and 1 or 0
end

local function answer(keys)
  done[rules + 1], done[rules + 2], done[rules + 3] = hits, misses, trouble
  table.insert(done, 1, keys)
  return done
end

-- The commonest rule asks nothing of a key: then many go in one command.
if act and rules == 1 and ARGV[5] == 'always' and ARGV[7] == 'unlink' then
  local at = first
  while at <= #ARGV do
    local last = math.min(at + chunk - 1, #ARGV)
    local number = ask('UNLINK', unpack(ARGV, at, last))
    if number == nil then
      break
    end
    done[1] = done[1] + number
    at = last + 1
    if clock() - began > budget then
      break
    end
  end
  return answer(at - first)
end

for at = first, #ARGV do
  for rule = 1, rules do
    local base = 4 * rule
    if holds(ARGV[at], ARGV[base + 1], tonumber(ARGV[base + 2])) then
      done[rule] = done[rule] + apply(ARGV[at], ARGV[base + 3], tonumber(ARGV[base + 4]))
      break
    end
    if trouble ~= '' then
      break
    end
  end
  if trouble ~= '' then
    return answer(at - first)
  end
  if at % 8 == 0 and clock() - began > budget then
    return answer(at - first + 1)
  end
end
return answer(#ARGV - first + 1)
