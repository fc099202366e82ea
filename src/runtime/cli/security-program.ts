/** The commands that set an installation up for others: identities and their permissions, and the namespace's streams. */
import { Argument, type Command, Option } from 'commander'
import { limits } from '../../protocol/limits.ts'
import type { Act } from './program.ts'
import { json, list, logSize, partitions, replicas, wholeNumber } from './settings.ts'

export function addSecurity(program: Command, act: Act): void {
  program
    .command('auth')
    .description('make credentials per role, and the nats-server configuration that enforces them, with mutual TLS')
    .addArgument(
      new Argument('[identities...]', 'role:name each, like node:worker-1 or scheduler+supervisor:control-1').default(
        [],
        'two control processes, two nodes, and one of each other role',
      ),
    )
    .option('--dir <folder>', 'where; run again to add identities', 'troupe-auth')
    .addOption(
      new Option('--remove <names>', 'identities to remove, separated by commas (default: none)').argParser(list),
    )
    .addOption(
      new Option(
        '--hosts <names>',
        'names and addresses of the server, for its certificate (default: localhost, 127.0.0.1, ::1)',
      ).argParser(list),
    )
    .addOption(
      new Option(
        '--reply-subjects <patterns>',
        'where else than to inboxes outcomes may be sent, for Troupe-Reply-To (default: nowhere)',
      ).argParser(list),
    )
    .addOption(
      new Option(
        '--partitions <number>',
        'partitions of the namespace, which the permissions name (default: those of the folder, or 1)',
      ).argParser(wholeNumber('partitions', 1, limits.partitionsMax)),
    )
    .addOption(json())
    .action(act(async () => (await import('./commands/security.ts')).auth))
  program
    .command('install')
    .description("make the namespace's streams, where other users may not")
    .addOption(replicas())
    .addOption(partitions())
    .addOption(logSize())
    .addOption(json())
    .action(act(async () => (await import('./commands/security.ts')).install))
}
