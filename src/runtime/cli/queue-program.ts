/** The commands of `queue`: names, arguments, options, help. */
import type { Command } from 'commander'
import { Option } from 'commander'
import type { Act } from './program.ts'
import { json, milliseconds, wholeNumber } from './settings.ts'

const commands = () => import('./commands/queue.ts')

export function addQueue(program: Command, act: Act): void {
  const queue = program
    .command('queue')
    .description('limits of task types: pause and resume, so many at once, so many in a time')
  const number = (flags: string, what: string, description: string) =>
    new Option(flags, description).argParser(wholeNumber(what, 1, 1_000_000_000))
  queue
    .command('ls', { isDefault: true })
    .description('list the types that have limits')
    .addOption(json())
    .action(act(async () => (await commands()).queueList))
  queue
    .command('pause')
    .description('start no task of this type; what runs goes on')
    .argument('<type>', 'the type of the tasks')
    .addOption(json())
    .action(act(async () => (await commands()).queuePause))
  queue
    .command('resume')
    .description('start tasks of this type again')
    .argument('<type>', 'the type of the tasks')
    .addOption(json())
    .action(act(async () => (await commands()).queueResume))
  queue
    .command('limit')
    .description('set the limits of this type, instead of those that it had; without options: none')
    .argument('<type>', 'the type of the tasks')
    .addOption(number('--running <number>', 'running', 'most that run at once (default: no limit)'))
    .addOption(
      number('--running-per-key <number>', 'running-per-key', 'most of one key that run at once (default: no limit)'),
    )
    .addOption(number('--starts <number>', 'starts', 'most that start in --period (default: no limit)'))
    .addOption(
      number(
        '--starts-per-key <number>',
        'starts-per-key',
        'most of one key that start in --period (default: no limit)',
      ),
    )
    .addOption(
      new Option('--period <duration>', 'the time for --starts, like 1s, 1m (default: 1s)').argParser(
        milliseconds('period'),
      ),
    )
    .addOption(number('--queued <number>', 'queued', 'most that wait; the type _all: of all types (default: no limit)'))
    .addOption(
      new Option(
        '--break-at <percent>',
        'failures among the last attempts that stop the type for a time (default: never)',
      ).argParser(wholeNumber('break-at', 1, 100)),
    )
    .addOption(
      new Option('--break-attempts <number>', 'the last attempts that count for --break-at (default: 20)').argParser(
        wholeNumber('break-attempts', 1, 1_000),
      ),
    )
    .addOption(
      new Option('--break-for <duration>', 'how long it stops before some may try, like 30s (default: 30s)').argParser(
        milliseconds('break-for'),
      ),
    )
    .addOption(json())
    .action(act(async () => (await commands()).queueLimit))
}
