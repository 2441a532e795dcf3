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
prometheus\t'Metrics in the text format'"
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
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "health" -d 'Look at the server: HTTP, disk, memory, CPU, databases, Redis, logs, certificates, backups'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "backup" -d 'Back up every live database, verified before it is published'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "verify-backup" -d 'Restore backups into a scratch place, check everything, report RPO and RTO'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "restore" -d 'Bring a backup back, without ever losing the database that was there'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "history" -d 'Show past runs and their findings'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "config" -d 'Write, check or show the configuration'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "demo" -d 'Build a small throw-away server with live databases and run backup, verify and restore on it'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "man" -d 'Print a manual page'
complete -c empire-maint -n "__fish_empire_maint_needs_command" -f -a "schema" -d 'Print the JSON Schema of the report or of the configuration'
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
system\t''
uptime\t''"
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand health" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l task -d 'Only runs of this task' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l status -d 'Only runs that ended so: ok, warning, critical, unknown, running or interrupted' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l since -d 'Only runs since then: 7d, 6mo, or a time such as 2026-11-24T03:00:00Z' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l limit -d 'At most so many, the newest' -r
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand history" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'"
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
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -s c -l config -d 'The configuration file' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l root -d 'The application\'s root, instead of [app] root' -r -F
complete -c empire-maint -n "__fish_empire_maint_using_subcommand config; and not __fish_seen_subcommand_from init check show" -l format -d 'What standard output carries' -r -f -a "human\t'For people'
json\t'One JSON object'
nagios\t'One line with performance data, as monitoring plugins print it'
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
prometheus\t'Metrics in the text format'"
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
