/** `ctx.step`: runs a function once per task, with its own tries and timeout, and keeps its result. */
import type { StepContext, StepOptions } from '../../client/context.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { checkOptionNames } from '../../protocol/option-names.ts'
import { durationMs, integerBetween } from '../../protocol/options.ts'
import { packValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import type { Call } from './call-journal.ts'
import { insideStep } from './function-misuse.ts'
import type { FunctionRun } from './function-run.ts'
import { packFailure } from './outcome.ts'

interface StepPolicy {
  readonly attempts: number
  readonly backoffMs: number
  readonly factor: number
  readonly maxMs: number
  /** 0: none. */
  readonly timeoutMs: number
}

/** For a step without options. */
export const noOptions: StepOptions = {}

const once: StepPolicy = { attempts: 1, backoffMs: 0, factor: 1, maxMs: 0, timeoutMs: 0 }

/** Resolves with the step's result once it is stored, now or in an earlier turn; rejects with the error of its last try. */
export function runStep<T>(
  run: FunctionRun,
  name: string,
  fn: (step: StepContext) => T,
  options: StepOptions,
): Promise<Awaited<T>> {
  let policy: StepPolicy
  try {
    policy = checkStep(name, fn, options)
  } catch (error) {
    return Promise.reject(error)
  }
  return run.call<Awaited<T>>(`step:${name}`, (call) => {
    run.busy(1)
    const step = { run, name, fn, policy, call }
    tries(step).then(
      (value) => {
        keep(step, value)
        run.busy(-1)
      },
      (error) => {
        if (run.live) run.finish(call, 'error', packFailure(error))
        run.busy(-1)
      },
    )
  })
}

interface Step {
  readonly run: FunctionRun
  readonly name: string
  readonly fn: (step: StepContext) => unknown
  readonly policy: StepPolicy
  readonly call: Call
}

function keep({ run, name, call }: Step, value: unknown): void {
  if (!run.live) return
  try {
    run.finishStored(call, packValue(value, `result of step "${name}"`), { value })
  } catch (error) {
    run.finish(call, 'error', packFailure(error))
  }
}

async function tries(step: Step): Promise<unknown> {
  const { attempts, backoffMs, factor, maxMs } = step.policy
  let delayMs = backoffMs
  for (let attempt = 1; ; attempt++) {
    try {
      return await oneTry(step, attempt)
    } catch (error) {
      const final = (error as { retryable?: unknown } | null | undefined)?.retryable === false
      if (attempt >= attempts || final || !step.run.live) throw error
      await delay(step.run, Math.min(delayMs, maxMs))
      if (!step.run.live) throw error
      delayMs *= factor
    }
  }
}

function oneTry(step: Step, attempt: number): unknown {
  const { run, name, policy } = step
  const fn = (context: StepContext) => insideStep(run, name, () => step.fn(context))
  const about = { attempt, idempotencyKey: run.idempotencyKey(name) }
  if (policy.timeoutMs === 0) {
    return fn({
      ...about,
      get signal() {
        return run.abortSignal()
      },
    })
  }
  return new Promise((resolve, reject) => {
    const controller = new AbortController()
    const alarm = new Alarm(run.port, run.port.nowMs() + policy.timeoutMs, () => {
      const error = new TroupeError('TROUPE_TIMEOUT', `step "${name}" ran longer than ${policy.timeoutMs} ms`)
      controller.abort(error)
      reject(error)
    })
    const signal = AbortSignal.any([run.abortSignal(), controller.signal])
    Promise.resolve()
      .then(() => fn({ ...about, signal }))
      .then(resolve, reject)
      .finally(() => alarm.cancel())
  })
}

function delay(run: FunctionRun, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const alarm = new Alarm(run.port, run.port.nowAtMostMs() + ms, resolve)
    run.abortSignal().addEventListener('abort', () => {
      alarm.cancel()
      resolve()
    })
  })
}

function checkStep(name: unknown, fn: unknown, options: StepOptions): StepPolicy {
  if (typeof name !== 'string' || name.length === 0 || name.length > limits.nameCharsMax) {
    throw new TroupeError(
      'TROUPE_INVALID_OPTION',
      `a step's name must be a text of 1 to ${limits.nameCharsMax} characters`,
    )
  }
  if (typeof fn !== 'function') throw new TroupeError('TROUPE_INVALID_OPTION', `step "${name}" needs a function`)
  if (options === noOptions) return once
  const where = `step "${name}": `
  checkOptionNames(`step "${name}"`, options, ['retry', 'timeout'])
  checkOptionNames(`step "${name}"`, options.retry ?? {}, ['attempts', 'backoff', 'factor', 'max'], 'retry.')
  const { attempts = 1, backoff = 1_000, factor = 2, max = 60_000 } = options.retry ?? {}
  return {
    attempts: integerBetween(`${where}retry.attempts`, attempts, 1, limits.attemptsMax, 'TROUPE_INVALID_RETRY'),
    backoffMs: durationMs(`${where}retry.backoff`, backoff),
    factor: factorOf(where, factor),
    maxMs: durationMs(`${where}retry.max`, max),
    timeoutMs: options.timeout === undefined ? 0 : durationMs(`${where}timeout`, options.timeout),
  }
}

function factorOf(where: string, factor: unknown): number {
  if (typeof factor === 'number' && factor >= 1 && factor <= 10) return factor
  const message = `${where}retry.factor ${JSON.stringify(factor)} is not between 1 and 10`
  throw new TroupeError('TROUPE_INVALID_RETRY', message)
}
