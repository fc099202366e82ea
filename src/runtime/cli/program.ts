/**
 * The commands: names, arguments, options, help. Nothing here connects to anything; what a command does is imported when
 * it runs, so that --help is quick.
 */
import { Argument, Command, Option } from 'commander'
import { addCron } from './cron-program.ts'
import type { Output } from './output.ts'
import { addProcesses } from './processes-program.ts'
import { addQueue } from './queue-program.ts'
import { addSecurity } from './security-program.ts'
import {
  applyConfiguration,
  encryptionFile,
  json,
  list,
  logLevels,
  milliseconds,
  setting,
  wholeNumber,
} from './settings.ts'

/** Set by the command that ran. */
export interface Outcome {
  exitCode: number
}

/** What a command is given: positional arguments, all options (global ones too), and where to print. */
export interface Invocation {
  readonly args: readonly (string | undefined)[]
  readonly files: readonly string[]
  // Options as commander has parsed them; each command names the shape that it declared.
  readonly options: unknown
  readonly output: Output
}

type Handler = (invocation: Invocation) => Promise<number | undefined>

export function buildProgram(version: string, output: Output, outcome: Outcome): Command {
  const program = new Command('troupe')
    .description('Runs tasks on a troupe of processes, through crashes, with NATS as the only server.')
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('Run `troupe --help`, or `troupe <command> --help`.')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .addOption(setting('--nats <url>', 'NATS servers, separated by commas').default('nats://127.0.0.1:4222'))
    .addOption(setting('--namespace <name>', 'the installation; everything lives under troupe.<name>').default('main'))
    .addOption(setting('--creds <file>', 'credentials file of `troupe auth`, or of NATS (default: none)'))
    .addOption(setting('--nkey <file>', 'file that holds an NKey seed (default: none)'))
    .addOption(setting('--tls-ca <file>', "certificates of the server's authority (default: of the credentials)"))
    .addOption(setting('--tls-cert <file>', 'certificate of this process (default: of the credentials)'))
    .addOption(setting('--tls-key <file>', 'key of that certificate (default: of the credentials)'))
    .addOption(
      setting('--encryption <file>', 'JSON file of keys by which values are encrypted (default: none)').argParser(
        encryptionFile,
      ),
    )
    .addOption(setting('--inbox-prefix <subject>', 'where answers go (default: of the credentials, or _INBOX)'))
    .addOption(
      setting('--log-level <level>', 'least level of log lines on stderr (default: info, dev: warn)').choices(
        logLevels,
      ),
    )
  program.hook('preAction', (_program, command) => applyConfiguration(program, command))
  const act =
    (load: () => Promise<Handler>) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1) as Command
      const positional = given.slice(0, -2)
      const handler = await load()
      const code = await handler({
        args: positional.filter((item) => !Array.isArray(item)) as (string | undefined)[],
        files: positional.filter((item) => Array.isArray(item)).flat() as string[],
        options: command.optsWithGlobals(),
        output,
      })
      outcome.exitCode = code ?? 0
    }
  addProcesses(program, act)
  addSubmitting(program, act)
  addTasks(program, act)
  addCluster(program, act)
  addSecurity(program, act)
  return program
}

export type Act = (load: () => Promise<Handler>) => (...given: unknown[]) => Promise<void>

function addSubmitting(program: Command, act: Act): void {
  const input = () => new Argument('[json]', 'the input as JSON; - reads it from stdin')
  const submission = (command: Command) =>
    command
      .argument('<type>', 'the type of the task')
      .addArgument(input())
      .option('--id <id>', 'the id of the task; submitting the same again is safe (default: given by the system)')
      .addOption(new Option('--priority <0-9>', 'higher first (default: 4)').argParser(wholeNumber('priority', 0, 9)))
      .option('--delay <duration>', 'not to start before this time has passed, like 500ms, 30s, 2h (default: none)')
      .option('--deadline <instant>', 'when it must have ended, as ISO 8601 text (default: none)')
      .option(
        '--unique <duration>',
        'run only if none of its type and key was submitted in this time before (default: off)',
      )
      .option('--unique-key <text>', 'what is compared for --unique (default: the input)')
      .option('--expected <duration>', 'how long it is expected to take, for orders by duration (default: as learned)')
      .option('--key <text>', 'groups tasks for fairness, limits and affinity (default: none)')
      .option(
        '--gang <id/size>',
        'starts together with the others of this gang, or not at all, like job-7/4 (default: none)',
      )
      .option('--group <path>', 'group that supervises it, like shop/payments, or its options as JSON (default: none)')
      .addOption(
        new Option('--restart <type>', 'whether it is restarted when it fails (default: transient)').choices([
          'transient',
          'temporary',
        ]),
      )
      .addOption(
        new Option('--after <ids>', 'tasks that must complete first, separated by commas (default: none)').argParser(
          list,
        ),
      )
      .addOption(json())
  const timeout = () =>
    new Option(
      '--timeout <duration>',
      'longest wait for the outcome, like 30s; the task goes on (default: none)',
    ).argParser(milliseconds('timeout'))
  submission(program.command('submit').description('submit a task and print its id'))
    .option('--wait', 'wait for the outcome and print it instead')
    .addOption(timeout())
    .action(act(async () => (await import('./commands/submit.ts')).submit))
  submission(program.command('run').description('submit a task, wait for its outcome and print it'))
    .addOption(timeout())
    .action(act(async () => (await import('./commands/submit.ts')).run))
}

const statuses = [
  'delayed',
  'blocked',
  'ready',
  'awarded',
  'running',
  'parked',
  'completed',
  'failed',
  'cancelled',
  'expired',
]

function addTasks(program: Command, act: Act): void {
  const tasks = () => import('./commands/tasks.ts')
  const limit = (rows: string) =>
    new Option('--limit <number>', `most ${rows} to print`).argParser(wholeNumber('limit', 1, 1_000)).default(100)
  const aboutTask = (name: string, description: string) =>
    program.command(name).description(description).argument('<id>', 'the id of the task').addOption(json())
  program
    .command('ls')
    .description('list tasks')
    .addOption(new Option('--status <status>', 'only these (default: all)').choices(statuses))
    .option('--type <type>', 'only this type (default: all)')
    .addOption(limit('tasks'))
    .option('--after <id>', 'go on after this task (default: from the first)')
    .addOption(json())
    .action(act(async () => (await tasks()).ls))
  aboutTask('show', 'show the state of a task')
    .option('--why', 'say why it waits, and how it was placed')
    .action(act(async () => (await tasks()).show))
  aboutTask('result', 'wait for the outcome of a task and print it')
    .addOption(
      new Option('--timeout <duration>', 'longest wait, like 30s; 0: answer at once (default: none)').argParser(
        milliseconds('timeout'),
      ),
    )
    .action(act(async () => (await tasks()).result))
  program
    .command('signal')
    .description('send an event to a task')
    .argument('<id>', 'the id of the task')
    .argument('<json>', 'the event, like \'{"type":"APPROVE"}\'; - reads it from stdin')
    .option('--id <id>', 'events with the same id count once (default: random)')
    .addOption(json())
    .action(act(async () => (await tasks()).signal))
  aboutTask('cancel', 'cancel a task').action(act(async () => (await tasks()).cancel))
  aboutTask('retry', 'run a failed task again, from its last snapshot')
    .option('--skip-event', 'without the event on which it failed')
    .action(act(async () => (await tasks()).retry))
  aboutTask('history', 'list what the log holds about a task').action(act(async () => (await tasks()).history))
  const dead = program.command('dead').description('list, retry or remove tasks that failed for good')
  dead
    .command('ls', { isDefault: true })
    .description('list dead letters, and messages that could not be read')
    .addOption(limit('rows'))
    .option('--after <id>', 'go on after this task (default: from the first)')
    .addOption(json())
    .action(act(async () => (await tasks()).deadList))
  dead
    .command('retry')
    .description('run a dead letter again')
    .argument('[id]', 'the id of the task')
    .option('--all', 'all of them')
    .addOption(json())
    .action(act(async () => (await tasks()).deadRetry))
  dead
    .command('rm')
    .description('forget a dead letter')
    .argument('[id]', 'the id of the task')
    .option('--all', 'all of them')
    .addOption(json())
    .action(act(async () => (await tasks()).deadRemove))
}

function addCluster(program: Command, act: Act): void {
  program
    .command('nodes')
    .description('list the nodes with load, slots and bids')
    .addOption(json())
    .action(act(async () => (await import('./commands/cluster.ts')).nodes))
  program
    .command('top')
    .description('show nodes, counts of tasks and rates; on a terminal anew each interval, until Ctrl-C')
    .addOption(
      new Option('--interval <duration>', 'time between two snapshots (default: 1s)').argParser(
        milliseconds('interval'),
      ),
    )
    .addOption(
      new Option(
        '--count <number>',
        'end after so many (default: one; with --interval or on a terminal no end)',
      ).argParser(wholeNumber('count', 1, 1_000_000_000)),
    )
    .addOption(json())
    .action(act(async () => (await import('./commands/top.ts')).top))
  program
    .command('drain')
    .description('ask a node to hand back its tasks and leave')
    .argument('<node>', 'the id of the node')
    .addOption(json())
    .action(act(async () => (await import('./commands/cluster.ts')).drain))
  program
    .command('check')
    .description('compare the tasks of these files with all that is stored of live ones, before a deploy; runs nothing')
    .argument('<files...>', 'modules whose exports include tasks, as the new build has them')
    .option('--strict', 'end with 1 also if some can be checked in part only')
    .addOption(json())
    .action(act(async () => (await import('./commands/check.ts')).check))
  addQueue(program, act)
  addCron(program, act)
  program
    .command('doctor')
    .description('check server, streams, permissions, clock and durability; say what to do')
    .option(
      '--as <role:name>',
      'whose permissions this user should have, like node:worker-1 (default: of the credentials)',
    )
    .addOption(setting('--monitoring <url>', "the server's monitoring (default: port 8222 of the first server)"))
    .addOption(json())
    .action(act(async () => (await import('./commands/doctor.ts')).doctor))
  addBench(program, act)
}

function addBench(program: Command, act: Act): void {
  const number = (flags: string, description: string, min: number, max: number) => {
    const option = new Option(flags, description)
    return option.argParser(wholeNumber(option.name(), min, max))
  }
  program
    .command('bench')
    .description('measure throughput and latency of this installation, with a node of its own that does nothing')
    .option('--type <type>', 'measure this type on the nodes that have it (default: a node is added for the time)')
    .option('--input <json>', 'the input of each task (default: text of --payload bytes)')
    .addOption(number('--tasks <number>', 'tasks submitted at once', 50, 1_000_000).default(10_000))
    .addOption(number('--in-flight <number>', 'tasks submitted singly at a time', 1, 10_000).default(200))
    .addOption(number('--payload <bytes>', 'size of each input', 0, 100_000).default(200))
    .addOption(
      new Option('--timeout <duration>', 'longest time for all of it')
        .argParser(milliseconds('timeout'))
        .default(60_000, '60s'),
    )
    .addOption(json())
    .action(act(async () => (await import('./commands/bench.ts')).bench))
}
