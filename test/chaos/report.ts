/** What a run has shown, in numbers: faults, failovers, refused zombies, tasks by how they ended, verdict. */
import { audit, percentile } from '../harness/audit.ts'
import type { StoredMessage } from '../harness/plain-client.ts'
import type { Verdict } from '../simulation/checker/check.ts'
import { explain } from '../simulation/checker/check.ts'
import { Replay } from '../simulation/checker/replay.ts'
import type { History } from '../simulation/history.ts'

export interface Spread {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface Report {
  readonly seed: number
  readonly minutes: number
  readonly faults: Readonly<Record<string, number>>
  readonly submitted: number
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
  readonly ended: Readonly<Record<string, number>>
  /** Acknowledged and nowhere, or without an end. */
  readonly lost: number
  readonly finishedTwice: number
  /** Turns that were accepted after the first of their task. */
  readonly restarts: number
  /** Entries that stand in the log and do not count, and lives that the broker refused to hear again. */
  readonly zombies: { readonly voidEntries: number; readonly refusedLives: number }
  /** From the kill of a node to its fence, and to the next owner of each task that it ran. */
  readonly fencedMs: Spread
  readonly reassignedMs: Spread
  /** From the kill of a leading scheduler to the next one. */
  readonly ledMs: Spread
  readonly acknowledgedMs: Spread
  readonly violations: readonly string[]
  readonly void: readonly string[]
}

export interface Findings {
  readonly seed: number
  readonly minutes: number
  readonly history: History
  readonly log: readonly StoredMessage[]
  readonly verdict: Verdict
  readonly refusedLives: number
  readonly ackMs: readonly number[]
}

export function reportOf({ seed, minutes, history, log, verdict, refusedLives, ackMs }: Findings): Report {
  const replay = Replay.of(history.logs[0]!)
  const audited = audit(log)
  const tasks = [...replay.tasks.values()]
  const ended: Record<string, number> = {}
  for (const { status, error } of tasks) {
    const how = status === 'failed' ? `failed ${error}` : status
    ended[how] = (ended[how] ?? 0) + 1
  }
  const marks = new Set(tasks.flatMap(({ mark, ended: isEnded }) => (isEnded && mark !== undefined ? [mark] : [])))
  const acknowledged = new Set(history.events.flatMap((event) => (event.what === 'accepted' ? [event.mark] : [])))
  const count = (what: string) => history.events.filter((event) => event.what === what).length
  return {
    seed,
    minutes,
    faults: Object.fromEntries(history.fired),
    submitted: new Set(history.events.flatMap((event) => (event.what === 'submit' ? [event.mark] : []))).size,
    acknowledged: acknowledged.size,
    refused: count('refused'),
    unknown: count('unknown'),
    ended,
    lost: [...acknowledged].filter((mark) => !marks.has(mark)).length,
    finishedTwice: [...audited.tasks.values()].filter(({ completed }) => completed > 1).length,
    restarts: tasks.reduce((sum, { turns }) => sum + Math.max(0, turns.length - 1), 0),
    zombies: { voidEntries: [...audited.tasks.values()].reduce((sum, task) => sum + task.void, 0), refusedLives },
    ...failovers(history, replay, audited.led),
    acknowledgedMs: spread(ackMs),
    violations: verdict.violations.map(explain),
    void: verdict.neverFired,
  }
}

function failovers(
  history: History,
  replay: Replay,
  led: readonly { scheduler: string; atMs: number }[],
): Pick<Report, 'fencedMs' | 'reassignedMs' | 'ledMs'> {
  const fencedMs: number[] = []
  const reassignedMs: number[] = []
  const ledMs: number[] = []
  for (const event of history.events) {
    if (event.what !== 'fault' || !event.kind.startsWith('crash ')) continue
    const { atMs, detail } = event
    const life = replay.lives.find(({ node, fromMs, toMs }) => node === detail && fromMs <= atMs && toMs > atMs)
    if (life !== undefined && Number.isFinite(life.toMs)) fencedMs.push(life.toMs - atMs)
    for (const { turns } of replay.tasks.values()) {
      const held = turns.findIndex(({ incarnation, atMs: since }) => incarnation === life?.incarnation && since <= atMs)
      const next = turns[held + 1]
      if (held >= 0 && next !== undefined && next.atMs > atMs) reassignedMs.push(next.atMs - atMs)
    }
    const leading = led.filter((one) => one.atMs <= atMs).at(-1)
    const next = led.find((one) => one.atMs > atMs)
    if (leading?.scheduler.startsWith(`${detail}-`) && next !== undefined) ledMs.push(next.atMs - atMs)
  }
  return { fencedMs: spread(fencedMs), reassignedMs: spread(reassignedMs), ledMs: spread(ledMs) }
}

export function spread(values: readonly number[]): Spread {
  const at = (share: number) => (values.length === 0 ? 0 : Math.round(percentile(values, share)))
  return { count: values.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

export function printed(report: Report): string {
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, times]) => `${what} ${times}`)
      .join(', ')
  const ms = ({ count, p50, p99, max }: Spread) => `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms of ${count}`
  const { zombies } = report
  return [
    `seed ${report.seed}, ${report.minutes} minutes of faults`,
    `faults: ${list(report.faults)}`,
    `submissions: ${report.submitted}, ${report.acknowledged} acknowledged, ${report.refused} tries refused, ${report.unknown} unanswered`,
    `tasks: ${list(report.ended)}; lost ${report.lost}, finished twice ${report.finishedTwice}, turns begun again ${report.restarts}`,
    `acknowledgement: ${ms(report.acknowledgedMs)}`,
    `killed node to fence: ${ms(report.fencedMs)}`,
    `killed node to next owner of its tasks: ${ms(report.reassignedMs)}`,
    `killed leader to next leader: ${ms(report.ledMs)}`,
    `zombies: ${zombies.refusedLives} lives refused by the broker, ${zombies.voidEntries} entries void in the log`,
    ...report.void.map((kind) => `void: ${kind} was planned and never came about`),
    ...report.violations,
    report.violations.length === 0 && report.void.length === 0 ? 'every promise holds' : 'NOT every promise holds',
  ].join('\n')
}
