/** The commands of `cron`: names, arguments, options, help. */
import { Argument, type Command, Option } from 'commander'
import type { Act } from './program.ts'
import { json, wholeNumber } from './settings.ts'

const commands = () => import('./commands/cron.ts')

export function addCron(program: Command, act: Act): void {
  const cron = program.command('cron').description('schedules by which tasks are submitted, over and over')
  cron
    .command('ls', { isDefault: true })
    .description('list the schedules')
    .addOption(json())
    .action(act(async () => (await commands()).cronList))
  cron
    .command('set')
    .description('set a schedule, instead of one of that name if there is one')
    .argument('<name>', 'the name of the schedule; its tasks have ids like <name>@2027-01-31T03:00:00Z')
    .argument('<schedule>', 'five fields, six with seconds first, or a nickname: "0 3 * * *", "*/10 * * * * *", @daily')
    .argument('<type>', 'the type of the tasks')
    .addArgument(new Argument('[json]', 'their input as JSON; - reads it from stdin'))
    .option('--time-zone <name>', 'the clock that it goes by, like Europe/Vienna', 'UTC')
    .addOption(
      new Option('--missed <rule>', 'of firings that nobody was there to make, how many are made up for (at most 100)')
        .choices(['skip', 'latest', 'all'])
        .default('latest'),
    )
    .addOption(
      new Option('--overlap <rule>', 'while an earlier task runs: both run, leave out, wait, cancel the earlier one')
        .choices(['allow', 'skip', 'queue', 'replace'])
        .default('allow'),
    )
    .addOption(new Option('--priority <0-9>', 'higher first (default: 4)').argParser(wholeNumber('priority', 0, 9)))
    .option('--key <text>', 'groups tasks for fairness, limits and affinity (default: none)')
    .option('--start-within <duration>', 'tasks that have not started by then expire, like 10m (default: none)')
    .option(
      '--expected <duration>',
      'how long a task is expected to take, for orders by duration (default: as learned)',
    )
    .addOption(json())
    .action(act(async () => (await commands()).cronSet))
  cron
    .command('rm')
    .description('remove a schedule; tasks that it made go on')
    .argument('<name>', 'the name of the schedule')
    .addOption(json())
    .action(act(async () => (await commands()).cronRemove))
}
