/** Commands about tasks that exist: `ls`, `show`, `result`, `signal`, `cancel`, `retry`, `history`, `dead`. */
import type { Troupe } from '../../../client/troupe.ts'
import { hasCode, TroupeError } from '../../../protocol/errors.ts'
import type { HedgeAnswer, NegotiationAnswer, TaskAnswer, TaskStatus } from '../../../protocol/messages.ts'
import { ago, short, statusCell } from '../format.ts'
import type { Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { jsonArgument, required, withTroupe } from '../session.ts'
import { printOutcome } from './outcome.ts'

interface PageOptions {
  readonly limit: number
  readonly after?: string
}

export async function ls(invocation: Invocation): Promise<number> {
  const { status, type, limit, after } = invocation.options as PageOptions & { status?: TaskStatus; type?: string }
  const { output } = invocation
  const { tasks, more } = await withTroupe(invocation, (troupe) =>
    troupe.tasks({ limit, ...(status && { status }), ...(type && { type }), ...(after && { after }) }),
  )
  if (output.json) for (const task of tasks) output.value(task)
  else printTasks(tasks, output)
  if (more) output.note(`There are more: --after ${tasks.at(-1)?.id}`)
  return 0
}

function printTasks(tasks: readonly TaskAnswer[], output: Output): void {
  const nowMs = Date.now()
  output.table(
    ['ID', 'TYPE', 'STATUS', 'ATTEMPT', 'NODE', 'SUBMITTED', 'ABOUT'],
    tasks.map((task) => [
      task.id,
      task.type,
      statusCell(task.status),
      String(task.attempt),
      task.node ?? '',
      ago(task.submittedAt, nowMs),
      short(about(task)),
    ]),
  )
}

function about(task: TaskAnswer): string {
  if (task.error !== undefined) return task.error.message
  if (task.progress !== undefined) return `${Math.round(task.progress.fraction * 100)} % ${task.progress.note ?? ''}`
  return task.waiting ?? ''
}

export async function show(invocation: Invocation): Promise<number> {
  const task = await withTroupe(invocation, (troupe) => troupe.handle(idOf(invocation)).state())
  printTask(task, invocation.output)
  const { why } = invocation.options as { why?: boolean }
  if (why && !invocation.output.json) printWhy(task, invocation.output)
  return 0
}

function printWhy(task: TaskAnswer, output: Output): void {
  const { waiting, placement, negotiation, node, status } = task
  output.line('')
  if (waiting !== undefined) output.line(`It waits: ${waiting}.`)
  if (task.move !== undefined) output.line(`It left ${task.move.from} at ${task.move.at}: ${task.move.reason}.`)
  if (task.hedge !== undefined) printHedge(task.hedge, output)
  if (negotiation !== undefined) printNegotiation(negotiation, output)
  if (placement === undefined) {
    if (negotiation !== undefined) return
    output.line(node === undefined ? 'It was not placed lately.' : `How it came to ${node} is no longer known.`)
    return
  }
  const verb = status === 'running' || status === 'awarded' ? 'is' : 'was'
  output.line(`It ${verb} placed on ${placement.node} by ${placement.policy}, at ${placement.at}. The bids then:`)
  output.table(
    ['NODE', 'PRICE', 'QUOTE', 'SLOWDOWN', 'SEEN', 'HEALTH', 'FREE', 'CREDITS', 'NOTE'],
    placement.bids.map((bid) => [
      bid.node,
      `${bid.priceMs.toFixed(1)} ms`,
      bid.extraMs === undefined ? '' : `${bid.extraMs} ms`,
      bid.slowdown.toFixed(2),
      `${(bid.pace ?? 1).toFixed(2)} ×`,
      `${Math.round((bid.health ?? 1) * 100)} %`,
      String(bid.free),
      String(bid.credits),
      bid.unfit ?? (bid.node === placement.node ? 'got it' : ''),
    ]),
  )
}

function printHedge({ at, reason, first, second, kept, why }: HedgeAnswer, output: Output): void {
  const taken = second === undefined ? 'no other node has taken it' : `${second} took it`
  output.line(`A second turn was allowed at ${at}, for ${reason} on ${first}; ${taken}.`)
  if (kept !== undefined) output.line(`It went on with the ${kept} turn: ${why}.`)
}

function printNegotiation({ at, asked, outcome, bids }: NegotiationAnswer, output: Output): void {
  output.line(`A call for bids at ${at} asked for ${asked} ${asked === 1 ? 'place' : 'places'}: ${outcome}.`)
  if (bids.length === 0) output.line('No node bid.')
  else
    output.table(
      ['NODE', 'RESERVED', 'AWARDED', 'WHY NOT MORE'],
      bids.map(({ node, places, awarded, reason }) => [node, String(places), String(awarded), reason ?? '']),
    )
}

function printTask(task: TaskAnswer, output: Output): void {
  if (output.json) return output.value(task)
  const time = (at: string | undefined) => (at === undefined ? undefined : `${at} (${ago(at)})`)
  output.fields([
    ['id', task.id],
    ['type', task.type],
    ['status', statusCell(task.status)],
    ['waiting', task.waiting],
    ['attempt', String(task.attempt)],
    ['turn', String(task.turn)],
    ['node', task.node],
    ['priority', String(task.priority)],
    ['key', task.key],
    ['gang', task.gang && `${task.gang.id}, of ${task.gang.size}`],
    ['group', task.group],
    ['partition', task.partition === undefined ? undefined : String(task.partition)],
    ['submitted', time(task.submittedAt)],
    ['due', time(task.dueAt)],
    ['deadline', time(task.deadlineAt)],
    ['started', time(task.startedAt)],
    ['finished', time(task.finishedAt)],
    ['progress', task.progress && `${Math.round(task.progress.fraction * 100)} % ${task.progress.note ?? ''}`],
    ['result', task.result === undefined ? undefined : JSON.stringify(task.result, undefined, 2)],
    ['error', task.error && { text: `${task.error.message} (${task.error.code})`, format: 'red' as const }],
    ['stack', task.error?.stack],
  ])
}

export async function result(invocation: Invocation): Promise<number> {
  const { timeout } = invocation.options as { timeout?: number }
  const id = idOf(invocation)
  return withTroupe(invocation, async (troupe) => {
    const handle = troupe.handle(id)
    if (timeout === 0) {
      const { status, waiting } = await handle.state()
      if (status !== 'completed' && status !== 'failed' && status !== 'cancelled' && status !== 'expired') {
        throw new TroupeError(
          'TROUPE_NO_ANSWER',
          `task "${id}" has not ended: it is ${status}${waiting ? `, ${waiting}` : ''}`,
        )
      }
    }
    return printOutcome(handle, timeout === 0 ? undefined : timeout, invocation.output)
  })
}

export async function signal(invocation: Invocation): Promise<number> {
  const { args, options, output } = invocation
  const signalId = (options as { id?: string }).id
  const event = await jsonArgument(args[1])
  await withTroupe(invocation, (troupe) =>
    troupe.handle(idOf(invocation)).signal(event as { type: string }, signalId === undefined ? {} : { id: signalId }),
  )
  if (output.json) output.value({ id: idOf(invocation), signalled: true })
  else output.note('The event is in the log; the task gets it.')
  return 0
}

export async function cancel(invocation: Invocation): Promise<number> {
  return printState(invocation, await withTroupe(invocation, (troupe) => troupe.handle(idOf(invocation)).cancel()))
}

export async function retry(invocation: Invocation): Promise<number> {
  const { skipEvent = false } = invocation.options as { skipEvent?: boolean }
  const again = (troupe: Troupe) => troupe.handle(idOf(invocation)).retry({ skipEvent })
  return printState(invocation, await withTroupe(invocation, again))
}

function printState({ output }: Invocation, task: TaskAnswer): number {
  if (output.json) output.value(task)
  else output.line(`${task.id}  ${task.status}`)
  return 0
}

export async function history(invocation: Invocation): Promise<number> {
  const { output } = invocation
  const entries = await withTroupe(invocation, (troupe) => troupe.handle(idOf(invocation)).history())
  if (output.json) for (const entry of entries) output.value(entry)
  else {
    output.table(
      ['SEQUENCE', 'TIME', 'WHAT', 'TURN', 'NODE', 'DETAILS'],
      entries.map((entry) => [
        String(entry.sequence),
        entry.at,
        entry.what,
        entry.turn === undefined ? '' : String(entry.turn),
        entry.node ?? '',
        entry.details === undefined ? '' : short(entry.details, 100),
      ]),
    )
  }
  return 0
}

export async function deadList(invocation: Invocation): Promise<number> {
  const { limit, after } = invocation.options as PageOptions
  const { output } = invocation
  const { dead, setAside, more } = await withTroupe(invocation, (troupe) =>
    troupe.dead({ limit, ...(after && { after }) }),
  )
  if (output.json) {
    for (const task of dead) output.value(task)
    for (const message of setAside) output.value(message)
  } else {
    printTasks(dead, output)
    if (setAside.length > 0) {
      output.line('')
      output.table(
        ['SET ASIDE', 'TIME', 'SUBJECT', 'REASON'],
        setAside.map(({ sequence, at, subject, reason }) => [
          String(sequence),
          at,
          subject,
          `${reason.message} (${reason.code})`,
        ]),
      )
    }
  }
  if (more) output.note(`There are more: --after ${dead.at(-1)?.id}`)
  return 0
}

export async function deadRetry(invocation: Invocation): Promise<number> {
  return forDead(invocation, 'retried', async (troupe, id) => void (await troupe.handle(id).retry()))
}

export async function deadRemove(invocation: Invocation): Promise<number> {
  return forDead(invocation, 'removed', (troupe, id) => troupe.removeDead(id))
}

/** Does it for one id, or for all dead letters there are, page by page. */
async function forDead(
  invocation: Invocation,
  done: string,
  work: (troupe: Troupe, id: string) => Promise<void>,
): Promise<number> {
  const { args, options, output } = invocation
  const { all } = options as { all?: boolean }
  const id = args[0]
  if ((id === undefined) === !all) throw new TroupeError('TROUPE_USAGE', 'give the id of a task, or --all')
  const each = async (troupe: Troupe, one: string) => {
    await work(troupe, one)
    if (output.json) output.value({ id: one, [done]: true })
    else output.line(`${one}  ${done}`)
  }
  return withTroupe(invocation, async (troupe) => {
    if (id === undefined) return forAllDead(troupe, each, output)
    await each(troupe, id)
    return 0
  })
}

/**
 * What is done leaves the list, so the next page begins after the last one that had to stay; from the beginning if that has
 * left meanwhile.
 */
async function forAllDead(
  troupe: Troupe,
  each: (troupe: Troupe, id: string) => Promise<void>,
  output: Output,
): Promise<number> {
  let last: string | undefined
  const stayed = new Set<string>()
  const pageAfter = (after: string | undefined) => troupe.dead({ limit: 1_000, ...(after && { after }) })
  for (;;) {
    const { dead, more } = await pageAfter(last).catch((error: unknown) => {
      if (!hasCode(error, 'TROUPE_UNKNOWN_TASK')) throw error
      return pageAfter(undefined)
    })
    for (const { id } of dead) {
      if (stayed.has(id)) continue
      try {
        await each(troupe, id)
      } catch (error) {
        // Somebody else was quicker, or it can never run: the others are still to do.
        if (!hasCode(error, 'TROUPE_NOT_FAILED') && !hasCode(error, 'TROUPE_UNKNOWN_TASK')) throw error
        output.problem(error.message)
        last = id
        stayed.add(id)
      }
    }
    if (!more) return stayed.size === 0 ? 0 : 1
  }
}

function idOf({ args }: Invocation): string {
  return required('the id of a task', args[0])
}
