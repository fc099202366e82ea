/** `submit` and `run`. */
import type { TaskHandle } from '../../../client/handle.ts'
import type { SubmitOptions } from '../../../client/submit-options.ts'
import type { Troupe } from '../../../client/troupe.ts'
import type { RestartType } from '../../../protocol/options.ts'
import { readGang } from '../../../protocol/submission.ts'
import type { Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { goesWith, jsonArgument, required, withTroupe } from '../session.ts'
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

/** What is to be submitted; all of it is checked before anything is connected. */
interface Given {
  readonly type: string
  readonly input: unknown
  readonly options: SubmitOptions
}

export async function submit(invocation: Invocation): Promise<number> {
  const { wait, timeout } = invocation.options as Options
  goesWith('--wait', wait === true, { '--timeout': timeout })
  const given = await givenTo(invocation)
  const { output } = invocation
  const work = async (troupe: Troupe) => {
    const handle = await submitOne(troupe, given, output)
    if (wait) return printOutcome(handle, timeout, output)
    if (output.json) output.value({ id: handle.id })
    else output.line(handle.id)
    return 0
  }
  return withTroupe(invocation, work, true)
}

export async function run(invocation: Invocation): Promise<number> {
  const { timeout } = invocation.options as Options
  const given = await givenTo(invocation)
  const { output } = invocation
  const work = async (troupe: Troupe) => printOutcome(await submitOne(troupe, given, output), timeout, output)
  return withTroupe(invocation, work, true)
}

async function givenTo({ args, options }: Invocation): Promise<Given> {
  const [type, json] = args
  return {
    type: required('the type of the task', type),
    options: submission(options as Options),
    input: await jsonArgument(json),
  }
}

async function submitOne(troupe: Troupe, { type, input, options }: Given, output: Output): Promise<TaskHandle> {
  await troupe.validate(type, input)
  const handle = await troupe.submit(type, input, options)
  const unknown = await troupe.unknownType(type)
  if (unknown !== undefined) output.note(`${unknown.message}: the task waits (${unknown.code})`)
  return handle
}

function submission(options: Options): SubmitOptions {
  const { id, priority, delay, deadline, expected, key, after, group, restart, gang, unique, uniqueKey } = options
  goesWith('--unique', unique !== undefined, { '--unique-key': uniqueKey })
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
