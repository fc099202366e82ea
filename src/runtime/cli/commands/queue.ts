/** `queue`: pauses, resumes and limits task types. What is set stands in the log, so every scheduler keeps to it. */
import type { Troupe } from '../../../client/troupe.ts'
import type { LimitsRow } from '../../../protocol/limit-messages.ts'
import type { TypeLimits } from '../../../protocol/options.ts'
import type { Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { goesWith, required, withTroupe } from '../session.ts'

export async function queueList(invocation: Invocation): Promise<number> {
  const { types } = await withTroupe(invocation, (troupe) => troupe.limits())
  const { output } = invocation
  if (output.json) for (const row of types) output.value(row)
  else
    output.table(
      ['TYPE', 'LIMITS'],
      types.map((row) => [row.type, described(row)]),
    )
  return 0
}

export function queuePause(invocation: Invocation): Promise<number> {
  return change(invocation, (before) => ({ ...before, paused: true }))
}

export function queueResume(invocation: Invocation): Promise<number> {
  return change(invocation, ({ paused: _, ...others }) => (Object.keys(others).length === 0 ? null : others))
}

interface LimitFlags {
  readonly running?: number
  readonly runningPerKey?: number
  readonly starts?: number
  readonly startsPerKey?: number
  readonly period?: number
  readonly queued?: number
  readonly breakAt?: number
  readonly breakAttempts?: number
  readonly breakFor?: number
}

/** A type that is paused stays so. */
export async function queueLimit(invocation: Invocation): Promise<number> {
  const flags = invocation.options as LimitFlags
  const { running, runningPerKey, starts, startsPerKey, period, queued, breakAt, breakAttempts, breakFor } = flags
  goesWith('--starts or --starts-per-key', (starts ?? startsPerKey) !== undefined, { '--period': period })
  goesWith('--break-at', breakAt !== undefined, { '--break-attempts': breakAttempts, '--break-for': breakFor })
  const breaker = breakerOf(flags)
  return change(invocation, ({ paused }) => {
    const limits: TypeLimits = {
      ...(paused && { paused }),
      ...(running && { runningMax: running }),
      ...(runningPerKey && { runningPerKeyMax: runningPerKey }),
      ...(starts && { startsMax: starts }),
      ...(startsPerKey && { startsPerKeyMax: startsPerKey }),
      ...(period && { startsPeriodMs: period }),
      ...(queued && { queuedMax: queued }),
      ...(breaker && { breaker }),
    }
    return Object.keys(limits).length === 0 ? null : limits
  })
}

function breakerOf({ breakAt, breakAttempts, breakFor }: LimitFlags): TypeLimits['breaker'] {
  if (breakAt === undefined) return undefined
  return {
    failurePercent: breakAt,
    ...(breakAttempts && { attempts: breakAttempts }),
    ...(breakFor && { openMs: breakFor }),
  }
}

async function change(invocation: Invocation, to: (before: TypeLimits) => TypeLimits | null): Promise<number> {
  const type = required('the type of the tasks', invocation.args[0])
  const { types } = await withTroupe(invocation, async (troupe: Troupe) => {
    const before = (await troupe.limits()).types.find((row) => row.type === type)
    const {
      type: _,
      queued: _queued,
      breakerState: _state,
      triesAt: _at,
      partitions: _where,
      ...limits
    }: LimitsRow = before ?? { type }
    return troupe.limit(type, to(limits))
  })
  print(types.find((row) => row.type === type) ?? { type }, invocation.output)
  return 0
}

function print(row: LimitsRow, output: Output): void {
  if (output.json) output.value(row)
  else output.line(`${row.type}  ${described(row)}`)
}

function described({
  paused,
  runningMax,
  runningPerKeyMax,
  startsMax,
  startsPerKeyMax,
  startsPeriodMs = 1_000,
  queuedMax,
  queued = 0,
  breaker,
  breakerState,
  triesAt,
  partitions,
}: LimitsRow): string {
  const parts = [
    paused && 'paused',
    runningMax && `${runningMax} at once`,
    runningPerKeyMax && `${runningPerKeyMax} of one key at once`,
    startsMax && `${startsMax} starts in ${startsPeriodMs} ms`,
    startsPerKeyMax && `${startsPerKeyMax} starts of one key in ${startsPeriodMs} ms`,
    queuedMax && `${queued} of ${queuedMax} may wait`,
    breaker && `breaker at ${breaker.failurePercent} % failures: ${breakerState}${triesAt ? ` until ${triesAt}` : ''}`,
  ].filter((part) => part)
  const where = partitions === undefined ? '' : ` (in partition ${partitions.join(', ')} alone: set it again)`
  return parts.length === 0 ? 'no limits' : parts.join(', ') + where
}
