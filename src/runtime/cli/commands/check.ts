/**
 * `check`: would the tasks that are under way go on with this build? Reads what is stored of each and says which would be
 * set aside and why. Ends with 1 if there is one, so that a deploy can depend on it.
 */
import type { LiveTask } from '../../../client/live-tasks.ts'
import { adviceFor } from '../../../protocol/errors.ts'
import { type Fit, fitOf } from '../../tasks/fit.ts'
import { loadTasks } from '../../tasks/load.ts'
import type { Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { withTroupe } from '../session.ts'

interface Misfit {
  readonly id: string
  readonly code: string
  readonly message: string
}

/** What was found of one type; a type that no file exports has `unknown` tasks. */
interface TypeReport {
  readonly type: string
  live: number
  fit: number
  partly: number
  misfit: number
  unknown: number
  /** Why some can be checked in part only; the first reasons. */
  readonly reasons: Set<string>
  readonly misfits: Misfit[]
}

const shownMax = 100
const reasonsMax = 3

export async function check(invocation: Invocation): Promise<number> {
  const { files, output, options } = invocation
  const { strict } = options as { strict?: boolean }
  const definitions = new Map((await loadTasks(files)).map(({ definition }) => [definition.type, definition]))
  const reports = new Map([...definitions.keys()].map((type) => [type, newReport(type)]))
  await withTroupe(invocation, async (troupe) => {
    for await (const task of troupe.liveTasks()) {
      const report = reports.get(task.type) ?? newReport(task.type)
      reports.set(task.type, report)
      report.live++
      const definition = definitions.get(task.type)
      if (definition === undefined) report.unknown++
      else note(report, task, await fitOf(definition, task))
    }
  })
  const all = [...reports.values()]
  const misfit = sum(all, 'misfit')
  const partly = sum(all, 'partly')
  if (output.json) output.value(asJson(all))
  else print(all, output)
  return misfit > 0 || (strict && partly > 0) ? 1 : 0
}

function newReport(type: string): TypeReport {
  return { type, live: 0, fit: 0, partly: 0, misfit: 0, unknown: 0, reasons: new Set(), misfits: [] }
}

function note(report: TypeReport, { id }: LiveTask, fit: Fit): void {
  if (fit.fit === 'yes') report.fit++
  else if (fit.fit === 'partly') {
    report.partly++
    if (report.reasons.size < reasonsMax) report.reasons.add(fit.why)
  } else {
    report.misfit++
    const { code, message } = fit.error
    report.misfits.push({ id, code, message })
  }
}

function sum(reports: readonly TypeReport[], what: 'live' | 'fit' | 'partly' | 'misfit' | 'unknown'): number {
  return reports.reduce((total, report) => total + report[what], 0)
}

function asJson(reports: readonly TypeReport[]): unknown {
  return {
    ok: sum(reports, 'misfit') === 0,
    live: sum(reports, 'live'),
    types: reports.map(({ reasons, ...report }) => ({ ...report, reasons: [...reasons] })),
  }
}

function print(reports: readonly TypeReport[], output: Output): void {
  output.table(
    ['TYPE', 'LIVE', 'FIT', 'IN PART', 'DO NOT FIT', 'NOT IN THESE FILES'],
    reports.map(({ type, live, fit, partly, misfit, unknown }) => [
      type,
      String(live),
      String(fit),
      String(partly),
      misfit === 0 ? '0' : { text: String(misfit), format: 'red' as const },
      String(unknown),
    ]),
  )
  for (const { type, reasons, misfits } of reports) {
    for (const why of reasons) output.note(`${type}: ${why}`)
    for (const { id, message, code } of misfits.slice(0, shownMax)) output.problem(`${id}: ${message} (${code})`)
    if (misfits.length > shownMax) output.problem(`${type}: ${misfits.length - shownMax} more; --json lists all`)
  }
  const codes = new Set(reports.flatMap(({ misfits }) => misfits.map(({ code }) => code)))
  for (const code of codes) output.note(`${code}: ${adviceFor(code) ?? ''}`)
}
