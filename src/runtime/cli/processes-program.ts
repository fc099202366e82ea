/** The commands that are processes, `dev` and `start`: names, arguments, options, help. */
import { Argument, type Command } from 'commander'
import {
  orderingNamed,
  orderingNames,
  placementNames,
  placementsNamed,
  rebalancingNamed,
  rebalancingNames,
} from '../../actors/scheduler/policies/named.ts'
import { TroupeError } from '../../protocol/errors.ts'
import type { Act } from './program.ts'
import {
  amounts,
  labels,
  list,
  logSize,
  milliseconds,
  partitions,
  policy,
  replicas,
  setting,
  wholeNumber,
} from './settings.ts'

const files = () => new Argument('[files...]', 'modules whose exports include tasks (.ts needs no build)')
const slots = () =>
  setting('--slots <number>', 'tasks that one node runs at a time (default: 256)').argParser(
    wholeNumber('slots', 1, 100_000),
  )
const ordering = () =>
  setting(
    '--ordering <policy>',
    `which task first, of a scheduler that leads: ${orderingNames.join(', ')}; parameters like shortest-first:aging=0.5 (default: priority)`,
  ).argParser(policy(orderingNamed))
const placement = () =>
  setting(
    '--placement <policy>',
    `which node gets it: ${placementNames.join(', ')}; for one type: "least-delay;resize=affinity" (default: least-delay)`,
  ).argParser(policy(placementsNamed))
const rebalancing = () =>
  setting(
    '--rebalancing <policy>',
    `when running tasks move to better nodes: ${rebalancingNames.join(', ')}; parameters like threshold:ratio=3 (default: threshold)`,
  ).argParser(policy(rebalancingNamed))
const readyFile = () =>
  setting('--ready-file <file>', 'write a JSON description here once tasks can run (default: none)')

export function addProcesses(program: Command, act: Act): void {
  program
    .command('dev')
    .description('start everything here: NATS, scheduler, supervisor and node processes')
    .addArgument(files())
    .addOption(setting('--nodes <number>', 'node processes (default: 2)').argParser(wholeNumber('nodes', 1, 64)))
    .addOption(slots())
    .addOption(
      setting('--port <port>', 'port of NATS; 0 picks a free one (default: 4222)').argParser(
        wholeNumber('port', 0, 65_535),
      ),
    )
    // Taken already, so that scripts keep working: the dashboard is yet to come.
    .addOption(
      setting('--ui-port <port>', 'port of the dashboard')
        .argParser(wholeNumber('ui-port', 0, 65_535))
        .hideHelp(),
    )
    .addOption(setting('--store <folder>', 'where NATS keeps its data (default: .troupe)'))
    .addOption(setting('--ephemeral', 'keep nothing: use a temporary folder'))
    .addOption(ordering())
    .addOption(placement())
    .addOption(rebalancing())
    .addOption(partitions())
    .addOption(readyFile())
    .hook('preAction', () => refuseOtherServer(program))
    .action(act(async () => (await import('./commands/processes.ts')).dev))
  program
    .command('start')
    .description('start one process of a deployment, on the NATS servers of --nats')
    .addArgument(files())
    .addOption(
      setting('--roles <list>', 'node, scheduler, supervisor; separated by commas')
        .argParser(list)
        .default(['node', 'scheduler', 'supervisor'], 'all of them'),
    )
    .addOption(
      setting('--name <name>', 'the name of this process and its node (default: from the host, and a random part)'),
    )
    .addOption(slots())
    .addOption(
      setting('--resources <list>', 'amounts that tasks may take, like cpu=4,gpu=1 (default: none)').argParser(amounts),
    )
    .addOption(
      setting('--labels <list>', 'what is true of this node, like zone=a,disk=ssd (default: none)').argParser(labels),
    )
    .addOption(ordering())
    .addOption(placement())
    .addOption(rebalancing())
    .addOption(replicas())
    .addOption(partitions())
    .addOption(logSize())
    .addOption(
      setting(
        '--drain-time <duration>',
        'how long a first SIGTERM waits for tasks to be handed back (default: 5s)',
      ).argParser(milliseconds('drain-time')),
    )
    .addOption(
      setting(
        '--health-port <port>',
        'serve /healthz, /readyz and /metrics here; 0 picks a free one (default: none)',
      ).argParser(wholeNumber('health-port', 0, 65_535)),
    )
    .addOption(readyFile())
    .action(act(async () => (await import('./commands/processes.ts')).start))
}

/** A flag that `dev` would pass over in silence. Variables and the configuration are for the other commands, too. */
function refuseOtherServer(program: Command): void {
  const flag = ['nats', 'creds', 'nkey'].find((name) => program.getOptionValueSource(name) === 'cli')
  if (flag === undefined) return
  const message = `troupe dev starts a server of its own, so --${flag} has no meaning; troupe start joins another`
  throw new TroupeError('TROUPE_USAGE', message)
}
