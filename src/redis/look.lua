-- Of each key its time to live in ms (-1: none, -2: it is gone) and the bytes that it takes. ARGV: the keys. Changes nothing.
local answer = {}
for at = 1, #ARGV do
  local ttl = redis.call('PTTL', ARGV[at])
  local size = ttl ~= -2 and redis.call('MEMORY', 'USAGE', ARGV[at]) or 0
  answer[2 * at - 1], answer[2 * at] = ttl, size or 0
end
return answer
