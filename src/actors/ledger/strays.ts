/**
 * What landed in this partition's log and belongs to another: submissions of plain clients, and signals for tasks that are
 * not here. Each waits here until the leader has brought it over and says so; there it counts once, by the partition and the
 * sequence that it came from. Who brings it, and how often, does not matter.
 */

/** A signal for a task that is not here. `index` −1: it is the message itself. */
export interface StraySignal {
  readonly sequence: number
  readonly index: number
  readonly task: string
  readonly signalId: string
}

export type StrayRow =
  | readonly [what: 'submission', sequence: number, to: number]
  | readonly [what: 'signal', sequence: number, index: number, task: string, signalId: string]
  /** Submissions in the log of partition `from` have come here up to this sequence of it. */
  | readonly [what: 'came', from: number, sequence: number]

export class Strays {
  /** Sequence → the partition that it belongs to; oldest first. */
  readonly submissions = new Map<number, number>()
  /** By their place, oldest first. */
  readonly signals = new Map<string, StraySignal>()
  private readonly came = new Map<number, number>()

  constructor(rows: Iterable<StrayRow> = []) {
    for (const row of rows) {
      if (row[0] === 'submission') this.submissions.set(row[1], row[2])
      else if (row[0] === 'came') this.came.set(row[1], row[2])
      else this.addSignal({ sequence: row[1], index: row[2], task: row[3], signalId: row[4] })
    }
  }

  rows(): StrayRow[] {
    return [
      ...[...this.submissions].map(([sequence, to]) => ['submission', sequence, to] as const),
      ...[...this.signals.values()].map(
        ({ sequence, index, task, signalId }) => ['signal', sequence, index, task, signalId] as const,
      ),
      ...[...this.came].map(([from, sequence]) => ['came', from, sequence] as const),
    ]
  }

  /** The oldest sequence that one of them stands at; infinite when there is none. */
  get neededFrom(): number {
    const [submission = Number.POSITIVE_INFINITY] = this.submissions.keys()
    const [signal] = this.signals.values()
    return Math.min(submission, signal?.sequence ?? Number.POSITIVE_INFINITY)
  }

  addSignal(signal: StraySignal): void {
    this.signals.set(placeKey(signal.sequence, signal.index), signal)
  }

  takeSignal(sequence: number, index: number): StraySignal | undefined {
    const key = placeKey(sequence, index)
    const signal = this.signals.get(key)
    this.signals.delete(key)
    return signal
  }

  /** Forgets the submissions for this partition up to this sequence; returns whether there were any. */
  forwarded(to: number, sequence: number): boolean {
    let any = false
    for (const [stray, place] of this.submissions) {
      if (stray > sequence) break
      if (place === to) any = this.submissions.delete(stray)
    }
    return any
  }

  /** True the first time: submissions come in the order of their log, so a later one says that it was here before. */
  isNew(from: number, sequence: number): boolean {
    if (sequence <= (this.came.get(from) ?? 0)) return false
    this.came.set(from, sequence)
    return true
  }
}

function placeKey(sequence: number, index: number): string {
  return `${sequence} ${index}`
}
