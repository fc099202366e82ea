/** `submit` and `run`. */
import type { TaskHandle } from '../../../client/handle.ts'
import type { SubmitOptions } from '../../../client/submit-options.ts'
import type { Troupe } from '../../../client/troupe.ts'
import type { RestartType } from '../../../protocol/options.ts'
import { readGang } from '../../../protocol/submission.ts'
import type { Invocation } from '../program.ts'
import { jsonArgument, required, withTroupe } from '../session.ts'
import { printOutcome } from './outcome.ts'

interface Options {
  readonly id?: string
  readonly priority?: number
  readonly delay?: string
  readonly expected?: string
  readonly unique?: string
  readonly uniqueKey?: string
  readonly deadline?: string
  readonly key?: string
  readonly group?: string
  readonly restart?: RestartType
  readonly after?: string[]
  readonly gang?: string
  readonly wait?: boolean
  readonly timeout?: number
}

export async function submit(invocation: Invocation): Promise<number> {
  const { wait, timeout } = invocation.options as Options
  return withTroupe(
    invocation,
    async (troupe) => {
      const handle = await submitOne(troupe, invocation)
      if (wait) return printOutcome(handle, timeout, invocation.output)
      if (invocation.output.json) invocation.output.value({ id: handle.id })
      else invocation.output.line(handle.id)
      return 0
    },
    true,
  )
}

export async function run(invocation: Invocation): Promise<number> {
  const { timeout } = invocation.options as Options
  return withTroupe(
    invocation,
    async (troupe) => printOutcome(await submitOne(troupe, invocation), timeout, invocation.output),
    true,
  )
}

async function submitOne(troupe: Troupe, { args, options, output }: Invocation): Promise<TaskHandle> {
  const [given, json] = args
  const type = required('the type of the task', given)
  const input = await jsonArgument(json)
  await troupe.validate(type, input)
  const handle = await troupe.submit(type, input, submission(options as Options))
  const unknown = await troupe.unknownType(type)
  if (unknown !== undefined) output.note(`${unknown.message}: the task waits (${unknown.code})`)
  return handle
}

function submission(options: Options): SubmitOptions {
  const { id, priority, delay, deadline, expected, key, after, group, restart, gang, unique, uniqueKey } = options
  return {
    id,
    priority,
    delay,
    deadline,
    expected,
    key,
    after,
    ...(unique !== undefined && { unique: { key: uniqueKey, within: unique } }),
    group,
    restart,
    gang: gang === undefined ? gang : readGang('--gang', gang),
  }
}
