/**
 * What a log's stream says of itself in its metadata: which one it is, and how many partitions its namespace has.
 *
 * Which stream a log is: one that was deleted and made again is another, whatever it holds. The time of its creation does
 * not tell, where there are replicas: each server has its own, and another one answers after the next election.
 */
import { randomUUID } from 'node:crypto'
import type { StreamInfo } from '@nats-io/jetstream'

/** In the stream's metadata, which the servers agree on. */
const mark = 'troupe-log'

/** For the configuration of a stream that is made. */
export function newIdentity(): Record<string, string> {
  return { [mark]: randomUUID() }
}

/** Streams that were made before they were marked are known by their time of creation. */
export function identityOf({ config, created }: StreamInfo): string {
  return config.metadata?.[mark] ?? String(created)
}

/** In the metadata of the first partition's log, if there are several. */
const partitionsMark = 'troupe-partitions'

/** For the configuration of the first partition's log. */
export function partitionsMetadata(partitions: number): Record<string, string> {
  return partitions === 1 ? {} : { [partitionsMark]: String(partitions) }
}

/** How many the namespace has, as the log of its first one says; undefined if it says nothing: one, or it is another's log. */
export function partitionsIn(metadata: Record<string, string> | undefined): number | undefined {
  const said = metadata?.[partitionsMark]
  return said === undefined ? undefined : Number(said)
}
