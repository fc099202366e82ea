/**
 * Partitions in the second reading: where a submission belongs, what landed elsewhere, what was brought from where. Written
 * apart from the product's `partitions.ts`: this hash decides where tasks of years are looked for, so it must never change.
 */

export interface Placed {
  readonly id?: string
  readonly after?: readonly string[]
  readonly gang?: { readonly id: string }
  readonly group?: readonly { readonly name: string }[]
  readonly unique?: { readonly key?: string }
}

/** What landed in this log and belongs to another. */
export interface ReplayStray {
  readonly sequence: number
  readonly to: number
}

/** A signal that landed in this log, whose task was not here. */
export interface ReplayStraySignal {
  readonly task: string
  readonly signalId: string
  /** Log time at which it came. */
  readonly atMs: number
  /** Whether somebody had the task; undefined while nobody has looked. */
  isFound: boolean | undefined
}

const two32 = 2n ** 32n

/** FNV-1a over UTF-16 units, then the finish of murmur3, modulo; in big integers, for it need not be fast. */
export function hashPlace(text: string, partitions: number): number {
  let hash = 0x811c9dc5n
  for (const unit of Array.from({ length: text.length }, (_, at) => BigInt(text.charCodeAt(at))))
    hash = ((hash ^ unit) * 0x01000193n) % two32
  for (const [shift, factor] of [
    [16n, 0x85ebca6bn],
    [13n, 0xc2b2ae35n],
  ] as const)
    hash = ((hash ^ (hash >> shift)) * factor) % two32
  return Number((hash ^ (hash >> 16n)) % BigInt(partitions))
}

/** Of a task's id: the first number of a system id, a hash of any other. */
export function idPlace(id: string, partitions: number): number {
  const named = /^(\d+)-\d+(-\d+)?(:|$)/.exec(id)?.[1]
  return named !== undefined && Number(named) < partitions ? Number(named) : hashPlace(id, partitions)
}

/** Undefined where any will do. */
export function placeOf(type: string, options: Placed, partitions: number): number | undefined {
  const { gang, group, unique, id, after } = options
  if (gang !== undefined) return hashPlace(`gang ${gang.id}`, partitions)
  if (group?.[0] !== undefined) return hashPlace(`group ${group[0].name}`, partitions)
  // Those on trial name a key always.
  if (unique !== undefined) return hashPlace(`unique ${type} ${unique.key}`, partitions)
  if (id !== undefined) return idPlace(id, partitions)
  return after?.[0] === undefined ? undefined : idPlace(after[0], partitions)
}

/** Of tasks that were submitted together: that of the first id. */
export function flowPlace(ids: readonly string[], partitions: number): number {
  return idPlace([...ids].sort()[0]!, partitions)
}

export class ReplayStrays {
  readonly partition: number
  readonly partitions: number
  /** Everything that ever landed here and belongs elsewhere. */
  readonly submissions: ReplayStray[] = []
  readonly signals = new Map<string, ReplayStraySignal>()
  /** What came from other logs, as `<partition>-<sequence>`. */
  readonly brought = new Set<string>()
  /** Signals that came from other logs, as `<task> <signal>`. */
  readonly broughtSignals = new Set<string>()
  /** Up to where the leader has said of each partition that all was brought. */
  readonly forwarded = new Map<number, number>()
  /** Tasks that stand where they do not belong. */
  readonly misplaced: string[] = []
  /** How tasks of other partitions were said to have ended. */
  readonly settled: { readonly id: string; readonly status: string }[] = []
  private readonly came = new Map<number, number>()

  constructor(partition: number, partitions: number) {
    this.partition = partition
    this.partitions = partitions
  }

  /** True for a plain submission that belongs to another partition. */
  landed(sequence: number, type: string, options: Placed): boolean {
    const to = this.partitions === 1 ? undefined : placeOf(type, options, this.partitions)
    if (to === undefined || to === this.partition) return false
    this.submissions.push({ sequence, to })
    return true
  }

  /** Looks whether the tasks of a block belong here: each by itself, or all as one flow. */
  placed(position: number, block: readonly { readonly type: string; readonly options: Placed }[]): void {
    if (this.partitions === 1) return
    const ids = block.flatMap(({ options }) => options.id ?? [])
    const isFlow = ids.length > 1 && flowPlace(ids, this.partitions) === this.partition
    for (const { type, options } of block) {
      const place = placeOf(type, options, this.partitions)
      if (place === undefined || place === this.partition || isFlow) continue
      this.misplaced.push(`${options.id ?? type} of message ${position} stands in ${this.partition}, not ${place}`)
    }
  }

  /** A schedule is where its name says. */
  scheduled(name: string): void {
    const place = hashPlace(name, this.partitions)
    if (place !== this.partition) this.misplaced.push(`schedule ${name} stands in ${this.partition}, not ${place}`)
  }

  /** True the first time, for they come in order. */
  cameFrom(from: number, sequence: number): boolean {
    if (sequence <= (this.came.get(from) ?? 0)) return false
    this.came.set(from, sequence)
    this.brought.add(`${from}-${sequence}`)
    return true
  }

  /** A signal for a task that is not here. */
  signalled(sequence: number, signal: Omit<ReplayStraySignal, 'isFound'>): void {
    this.signals.set(`${sequence}`, { ...signal, isFound: undefined })
  }

  lookedFor(sequence: number, isFound: boolean): void {
    const signal = this.signals.get(`${sequence}`)
    if (signal !== undefined) signal.isFound ??= isFound
  }
}
