# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_empire_maint_global_optspecs
    string join \n c/config= root= format= json q/quiet v/verbose n/dry-run no-alert lock-wait= timeout= color= now= h/help V/version
end

function __fish_empire_maint_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_empire_maint_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_empire_maint_using_subcommand
    set -l cmd (__fish_empire_maint_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c empire-maint -n "__fish_empire_maint_needs_command" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -s V -l version -d 'Print version'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "health" -d 'Look at the server: HTTP, disk, memory, CPU, databases, Redis, logs, certificates, backups, missed tasks'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "backup" -d 'Back up every live database, verified before it is published'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "verify-backup" -d 'Restore backups into a scratch place, check everything, report RPO and RTO'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "restore" -d 'Bring a backup back, without ever losing the database that was there'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "cache-clean" -d 'Say what takes Redis\'s memory, and remove by rule what need not be there'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "optimize-db" -d 'Check live databases, then ANALYZE, REINDEX and VACUUM where it pays'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "data-clean" -d 'Delete or archive old rows by rules, in short transactions, without losing one'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "access-audit" -d 'Audit who has access: active, idle and admin accounts, logins, failed logins, admin actions'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "query-review" -d 'Review slow queries: their plans, indices that are missing or needless, stale statistics; profile Node'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "deps" -d 'Report outdated and vulnerable packages of the Node project; on request try npm\'s fix in a copy, and put it in place'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "audit" -d 'Audit the server: npm advisories, secrets in files, logs, certificates, permissions, sockets'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "certs" -d 'Check certificates in files and as they are served: expiry, chain, names, keys; on request renew them and prove it'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "gpu" -d 'Look at the GPUs: memory, heat, ECC, throttling, balance; keep the driver\'s state with --set-persistence'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "rag-clean" -d 'Remove idle, orphaned and invalid embeddings and chunks; keep FAISS indices true to them'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "rag-eval" -d 'Measure retrieval: labelled queries, indices against exact search, drift, harmful memories'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "alerts" -d 'Show, acknowledge, close, silence, test and send alerts'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "maintenance" -d 'Mute alerts during a deployment'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "history" -d 'Show past runs and their findings'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "schedule" -d 'Show the plan\'s calendar, check that its tasks ran, and print the lines for cron or systemd'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "runbook" -d 'Show the procedures for bad days, filled in with this server\'s paths and commands'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "config" -d 'Write, check or show the configuration'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "demo" -d 'Build a small throw-away server with live databases and run backup, verify and restore on it'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "man" -d 'Print a manual page'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "schema" -d 'Print the JSON Schema of the report or of the configuration'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "help" -d 'Print the help of a command, as its --help does'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l check -d 'Only these checks, with commas between them' -r -f -a "http\t''
listen\t''
disk\t''
memory\t''
cpu\t''
connections\t''
database\t''
redis\t''
errors\t''
app-errors\t''
logins\t''
certs\t''
backups\t''
jobs\t''
system\t''
uptime\t''"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l skip -d 'All but these checks' -r -f -a "http\t''
listen\t''
disk\t''
memory\t''
cpu\t''
connections\t''
database\t''
redis\t''
errors\t''
app-errors\t''
logins\t''
certs\t''
backups\t''
jobs\t''
system\t''
uptime\t''"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l database -d 'Only this database (repeatable)' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l fresh -d 'Compress everything anew, copy nothing from the previous backup'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -f -a "list" -d 'Show every backup: age, size, how far verified, why it is kept'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -f -a "pin" -d 'Keep a backup whatever retention says'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -f -a "unpin" -d 'Leave a pinned backup to retention again'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and not __fish_seen_subcommand_from list pin unpin adopt" -f -a "adopt" -d 'Check a backup that another tool made and give it a manifest'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from unpin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand backup; and __fish_seen_subcommand_from adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l file -d 'One backup, wherever it is' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l sample -d 'The n-th of m parts of all backups: 1/7 on Mondays, 2/7 on Tuesdays, …' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l all -d 'Every backup, not only the latest'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand verify-backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l at -d 'The newest verified backup taken at or before this time, as in "2026-11-24 03:00"' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l file -d 'This backup' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l to -d 'A new path, instead of the live one' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l latest -d 'The newest verified backup (the default)'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l force -d 'Replace what is there; it is kept under a dated name'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l stop-app -d 'Stop the application first, start it afterwards and wait until it is well'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l allow-open -d 'Go on although another process has the database open, where SQLite\'s own locks allow it'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l over -d 'Spread the removal over this time, so that what is missed is made again bit by bit' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l max-latency -d 'Other clients wait at most this much longer while we work [default: [cache] max_latency]' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l sample -d 'Keys that the report of memory looks at; 0: none [default: [cache] sample]' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l report -d 'Only say what takes the memory'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l yes -d 'Also patterns that are as good as every key'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand cache-clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l max-lock -d 'How long one step may hold up the writers of a database, and wait for them; default: [optimize] max_lock' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l no-backup-check -d 'Change databases without a recent verified backup too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand optimize-db" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l rule -d 'Only this rule (repeatable)' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l yes -d 'Also where a rule takes more of its table than max_fraction, or the clock may be wrong'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l no-backup-check -d 'Also without a verified backup from the last 24 hours'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and not __fish_seen_subcommand_from restore-archive" -f -a "restore-archive" -d 'Bring archived rows back into their table'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand data-clean; and __fish_seen_subcommand_from restore-archive" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand access-audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l database -d 'Only these databases' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l profile -d 'Also run this program under the Node profiler, as in --profile \'PORT=3001 node server.js\': a second one beside the application, in [app] root and as its user, started without a shell' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l for -d 'For how long, from 1s to 1h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand query-review" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l fix -d 'Try `npm audit fix` in a full copy of the project, run its tests there, and hand over a patch and the tested lock file'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l apply -d 'Put what the last --fix handed over in place; a deployment must follow'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand deps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l only -d 'Only these parts, with commas between them' -r -f -a "npm\t''
secrets\t''
access-log\t''
auth-log\t''
certs\t''
permissions\t''
sockets\t''
ids\t''"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l renew -d 'Have what is due renewed by [certs] renew_command (default: certbot), reload the server, and prove what it serves'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l force -d 'Run the renewal although nothing is due'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand certs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l batch -d 'Batch sizes for the benchmark, as in 1,8,32 [default: [gpu] benchmark_batches]' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l set-persistence -d 'Turn the persistence mode on where it is off'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l benchmark -d 'Run the command of [gpu] benchmark, keep its figure, compare it with its past'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand gpu" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l step -d 'Only this step (repeatable): idle, orphans, invalid, duplicates, quality, changed, optimize' -r -f -a "idle\t'Embeddings that were not accessed for `max_idle`, with their chunks'
orphans\t'Chunks whose embedding or document is gone, embeddings that no chunk points to'
invalid\t'Vectors and texts that cannot be what they should be'
duplicates\t'Chunks that say the same as another one'
quality\t'Memories that were never retrieved, and texts that say nothing'
changed\t'Documents whose file is another one by now, and texts that have no vector of theirs'
optimize\t'What `optimize-db` does, for this database'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l rebuild-if-stale -d 'Rebuild an index once this part of it (0 to 1) differs from the table' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l rebuild-index -d 'Rebuild every index of [[rag.index]], whatever it holds'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l retrain -d 'Where an IVF is rebuilt, find new centroids for its lists'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l yes -d 'Also where a step takes more of its table than max_fraction'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l no-backup-check -d 'Also without a verified backup from the last 24 hours'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l only -d 'Only this part (repeatable): labels, recall, drift, memories' -r -f -a "labels\t'Labelled queries'
recall\t'Indices against exact search'
drift\t'The embeddings against those of the first run'
memories\t'What a person should look at'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l quarantine -d 'Take memories out of the application\'s sight: these of those that are found (repeatable), or all of medium severity and up' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l unquarantine -d 'Bring a quarantined memory back (repeatable)' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l accept -d 'Take what this run measures for the new baseline'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l yes -d 'Also where more than [rag] max_fraction of the chunks would be quarantined'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l no-backup-check -d 'Quarantine also without a verified backup from the last 24 hours'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand rag-eval" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "list" -d 'What is open, what is muted, what waits to be sent'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "ack" -d 'Say that you know of one: no repeats and no escalation until it gets worse'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "close" -d 'Close one whose subject is gone for good, such as a database that was removed: no run will find it well'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "silence" -d 'Send nothing about some findings for a while'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "test" -d 'Send a test message now and say what became of it'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "flush" -d 'Send what waits, and what became due: run by cron every five minutes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and not __fish_seen_subcommand_from list ack close silence test flush send" -f -a "send" -d 'Send a notice, such as that of a deployment; text from standard input is not read'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from ack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l subject -d 'About which subject; * stands for any text' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l for -d 'For how long, as in 2h; at most 30d' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l reason -d 'Why' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l end -d 'End the silence of this number instead' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from flush" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l severity -d 'How urgent' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l subject -d 'What it is about' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l channel -d 'To these channels; without it to every chat, and to everything from medium up' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand alerts; and __fish_seen_subcommand_from send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -f -a "start" -d 'From now on, for a while; findings are kept'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and not __fish_seen_subcommand_from start stop" -f -a "stop" -d 'No longer'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l for -d 'It ends by itself after this time, at most 24h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l reason -d 'Why' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand maintenance; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l task -d 'Only runs of this task' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l status -d 'Only runs that ended so: ok, warning, critical, unknown, running or interrupted' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l since -d 'Only runs since then: 7d, 6mo, a day such as 2026-11-24, or a time such as 2026-11-24T03:00:00Z' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l limit -d 'At most so many, the newest' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l findings -d 'The findings of each run too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -f -a "show" -d 'The board: every line of the plan, its command, last run, result and next time (the default)'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -f -a "check" -d 'Exit with 2 when a task did not run within its grace time'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -f -a "crontab" -d 'Print a crontab with every task of the plan that has something to do here'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and not __fish_seen_subcommand_from show check crontab systemd" -f -a "systemd" -d 'Print systemd timers and services for the same tasks, or write them into a folder'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l program -d 'Where the program will be; default: this very program' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l system-user -d 'For /etc/cron.d: put this user before each command' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l mail-to -d 'Who gets what the commands print' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from crontab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l program -d 'Where the program will be; default: this very program' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l write -d 'Write the units into this folder, usually /etc/systemd/system' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schedule; and __fish_seen_subcommand_from systemd" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -f -a "list" -d 'List them: the built-in ones and those in [runbooks] dir (the default)'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and not __fish_seen_subcommand_from list show" -f -a "show" -d 'Print one as Markdown'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand runbook; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -f -a "init" -d 'Print a full, commented configuration with the plan\'s defaults'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -f -a "check" -d 'Check every section; exit code 3 when one is wrong'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -f -a "show" -d 'Print every value in force and where it came from'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l write -d 'Keep writing into this database until killed' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'
sarif\t'SARIF 2.1.0, for audit'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l lock-wait -d 'How long to wait for a lock, as in 10m' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l timeout -d 'How long the whole run may take, as in 2h' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l now -d 'The time that the run believes in, for tests' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l json -d 'Short for --format json'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -s q -l quiet -d 'Print nothing when there is nothing to say; the exit code never changes'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -s v -l verbose -d 'Print info findings and metrics too'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -s n -l dry-run -d 'Change nothing, list what would be done'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -l no-alert -d 'Send no alert for this run'
complete -c empire-maint -n "__fish_empire_maint_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
