/**
 * Answers for the whole namespace, made of what each partition answers for itself: the scheduler that leads the first one
 * gives them on the namespace's own subjects.
 */
import type { BusMessage } from '../../nats/bus.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import type { LimitsAnswer, LimitsRow } from '../../protocol/limit-messages.ts'
import { limits } from '../../protocol/limits.ts'
import type {
  CronAnswer,
  NodeAnswer,
  PartitionAnswer,
  ScheduleAnswer,
  StatsAnswer,
  TypeCountsAnswer,
} from '../../protocol/messages.ts'
import { partitionOf } from '../../protocol/partitions.ts'
import type { Switchboard } from './switchboard.ts'

type Counts = Readonly<Record<string, number>>
const encoder = new TextEncoder()
const typesMax = 100

/** Counts of all; a partition that does not answer is named without its leader, and its counts are missing. */
export async function gatheredStats(
  switchboard: Switchboard,
  message: BusMessage,
  own: StatsAnswer,
): Promise<StatsAnswer> {
  const others = await switchboard.askAll<StatsAnswer>(message)
  const answered = [own, ...others.filter((stats) => stats !== undefined)]
  const partitions: PartitionAnswer[] = [partitionRow(own)]
  for (const [i, partition] of switchboard.others.entries()) {
    const stats = others[i]
    partitions.push(stats === undefined ? { partition } : partitionRow(stats))
  }
  const breakers = answered.flatMap((stats) => stats.breakers ?? [])
  return {
    ...own,
    tasks: added(answered.map(({ tasks }) => tasks)),
    types: typeRows(answered.flatMap(({ types = [] }) => types)),
    ...(breakers.length > 0 && { breakers }),
    totals: added(answered.map(({ totals }) => totals)),
    nodes: Math.max(...answered.map(({ nodes }) => nodes)),
    partitions,
  }
}

/** The partition's row in an answer for the whole namespace. */
export function partitionRow({ partition, leader, epoch, position, tasks }: StatsAnswer): PartitionAnswer {
  return { partition, leader, epoch, position, dead: tasks.failed }
}

function added<Row extends Counts>(rows: readonly Row[]): Row {
  const sum: Record<string, number> = {}
  for (const row of rows) for (const [name, count] of Object.entries(row)) sum[name] = (sum[name] ?? 0) + count
  return sum as Row
}

/** Each type once, those with the most tasks first. */
function typeRows(rows: readonly TypeCountsAnswer[]): TypeCountsAnswer[] {
  const byType = new Map<string, TypeCountsAnswer[]>()
  for (const row of rows) byType.set(row.type, [...(byType.get(row.type) ?? []), row])
  const merged = [...byType].map(([type, same]) => ({
    ...added(same.map(({ type: _, ...counts }) => counts as Counts)),
    type,
  })) as unknown as (TypeCountsAnswer & Counts)[]
  const live = ({ waiting = 0, blocked = 0, running = 0, parked = 0 }: Counts) => waiting + blocked + running + parked
  return merged.sort((a, b) => live(b as never) - live(a as never)).slice(0, typesMax)
}

/** Each node once: it is a member of every partition, and runs tasks of all. */
export async function gatheredNodes(
  switchboard: Switchboard,
  message: BusMessage,
  own: readonly NodeAnswer[],
): Promise<NodeAnswer[]> {
  const others = await switchboard.askAll<{ nodes: NodeAnswer[] }>(message)
  const nodes = new Map(own.map((node) => [node.id, node]))
  for (const node of others.flatMap((answer) => answer?.nodes ?? [])) {
    const known = nodes.get(node.id)
    nodes.set(node.id, known === undefined ? node : { ...known, running: known.running + node.running })
  }
  return [...nodes.values()].slice(0, limits.rowsMax)
}

/** Limits hold in each partition, and are set in all of them; what waits is added up, and where they differ is said. */
export async function gatheredLimits(
  switchboard: Switchboard,
  message: BusMessage,
  own: LimitsAnswer,
): Promise<LimitsAnswer> {
  const others = await all<LimitsAnswer>(switchboard, message)
  const alike = new Map<string, { readonly row: LimitsRow; readonly partitions: number[]; queued: number }>()
  for (const [partition, { types }] of [own, ...others].entries()) {
    for (const row of types) {
      const found = alike.get(limitsText(row))
      if (found === undefined) {
        alike.set(limitsText(row), { row, partitions: [partition], queued: row.queued ?? 0 })
        continue
      }
      found.partitions.push(partition)
      found.queued += row.queued ?? 0
    }
  }
  const types = [...alike.values()].map(({ row, partitions, queued }) => ({
    ...row,
    ...(row.queued !== undefined && { queued }),
    ...(partitions.length <= others.length && { partitions }),
  }))
  return { types }
}

/** The same for limits that are the same. */
function limitsText({ queued: _, breakerState: _state, triesAt: _at, ...limits }: LimitsRow): string {
  return JSON.stringify(Object.entries(limits).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** A schedule lives in the partition of its name; a list has those of all, by name. */
export async function gatheredCron(
  switchboard: Switchboard,
  message: BusMessage,
  partitions: number,
  own: () => Promise<CronAnswer>,
): Promise<CronAnswer> {
  const body = (message.data.length === 0 ? {} : parseJson(message.data)) as { schedule?: unknown; name?: unknown }
  if (body !== null && typeof body === 'object' && 'schedule' in body) {
    const partition = partitionOf(String(body.name), partitions)
    return partition === 0 ? own() : switchboard.askFor<CronAnswer>(message, partition)
  }
  const pages = [await own(), ...(await all<CronAnswer>(switchboard, message))]
  // Beyond the end of a page that has more, schedules of that partition are missing.
  const ends = pages.flatMap(({ more, schedules }) => (more ? [schedules.at(-1)?.name ?? ''] : []))
  const until = ends.sort()[0]
  const named = ({ name }: ScheduleAnswer) => until === undefined || name <= until
  const schedules = pages.flatMap((page) => page.schedules.filter(named)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const fits = schedules.slice(0, limits.rowsMax)
  return { schedules: fits, more: until !== undefined || fits.length < schedules.length }
}

interface PageRequest {
  readonly limit?: number
  readonly after?: string
}

/**
 * A page of rows with ids, the partitions in turn. `rowsOf` finds the rows in a partition's answer; what else that holds is
 * kept by `merged`. `bytesMax` bounds the answer.
 */
export async function gatheredPage<Answer extends { readonly more: boolean }>(
  switchboard: Switchboard,
  message: BusMessage,
  own: (request: PageRequest) => Answer | Promise<Answer>,
  rowsOf: (answer: Answer) => readonly unknown[],
  merged: (pages: readonly Answer[], more: boolean) => Answer,
  bytesMax: number,
): Promise<Answer> {
  const { limit = 100, after, ...rest } = (message.data.length === 0 ? {} : parseJson(message.data)) as PageRequest
  let from = after === undefined ? 0 : await partitionWith(switchboard, after, own, rest)
  const last = switchboard.others.length
  const pages: Answer[] = []
  let left = limit
  let bytes = 0
  for (let request: PageRequest = { ...rest, ...(after !== undefined && { after }), limit }; ; from++) {
    const page = from === 0 ? await own(request) : await ask<Answer>(switchboard, message, from, request)
    pages.push(page)
    left -= rowsOf(page).length
    bytes += encoder.encode(JSON.stringify(page)).length
    if (page.more) return merged(pages, true)
    if (from === last) return merged(pages, false)
    if (left <= 0 || bytes > bytesMax) return merged(pages, true)
    request = { ...rest, limit: left }
  }
}

function ask<Answer>(
  switchboard: Switchboard,
  message: BusMessage,
  partition: number,
  request: PageRequest,
): Promise<Answer> {
  return switchboard.askFor<Answer>(message, partition, encoder.encode(JSON.stringify(request)))
}

/** Where a page goes on; the first partition says what is wrong with an id that nobody knows. */
async function partitionWith(
  switchboard: Switchboard,
  after: string,
  own: (request: PageRequest) => unknown,
  rest: object,
): Promise<number> {
  try {
    await own({ ...rest, after, limit: 1 })
    return 0
  } catch (error) {
    const partition = await switchboard.find(after)
    if (partition === undefined) throw error
    return partition
  }
}

async function all<Answer>(switchboard: Switchboard, message: BusMessage): Promise<Answer[]> {
  const answers = await switchboard.askAll<Answer>(message)
  const silent = answers.indexOf(undefined)
  if (silent < 0) return answers as Answer[]
  const partition = switchboard.others[silent]
  throw new TroupeError('TROUPE_NO_ANSWER', `no scheduler of partition ${partition} answers just now`, {
    details: { partition },
  })
}
