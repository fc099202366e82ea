/**
 * A task's changes as they happen. Events travel without guarantee, so the state is asked for as well: at first, every
 * few seconds, and after a reconnect; the end is never missed.
 */
import type { Bus } from '../nats/bus.ts'
import { hasCode } from '../protocol/errors.ts'
import { parseJson } from '../protocol/json.ts'
import type { LifecycleEvent, TaskAnswer, TaskStatus } from '../protocol/messages.ts'
import type { Subjects } from '../protocol/subjects.ts'

const askEveryMs = 3_000
/** Changes kept for a slow reader; older ones are dropped. */
const keptMax = 1_000
const terminal: readonly TaskStatus[] = ['completed', 'failed', 'cancelled', 'expired']

export async function* watchTask(
  host: { readonly bus: Bus; readonly subjects: Subjects },
  id: string,
  askState: () => Promise<TaskAnswer>,
): AsyncGenerator<LifecycleEvent, void, undefined> {
  const kept: LifecycleEvent[] = []
  let failure: unknown
  let wake = Promise.withResolvers<void>()
  let last = ''
  const put = (change: LifecycleEvent) => {
    kept.push(change)
    if (kept.length > keptMax) kept.shift()
    wake.resolve()
  }
  const events = host.bus.subscribe(host.subjects.event('*', id, '>'), (message) => {
    const change = readChange(message.data)
    if (change?.id === id) put(change)
  })
  const check = () =>
    askState().then(
      (answer) => {
        const state = changeOf(answer)
        if (kept.length === 0 && keyOf(state) !== last) put(state)
      },
      (error: unknown) => {
        // No answer is no change; anything else (the task is forgotten, the connection closed) ends the watch.
        if (hasCode(error, 'TROUPE_NO_ANSWER')) return
        failure = error
        wake.resolve()
      },
    )
  const timer = setInterval(check, askEveryMs)
  const stopListening = host.bus.onConnection((state) => {
    if (state === 'connected') void check()
  })
  try {
    kept.unshift(changeOf(await askState()))
    for (;;) {
      for (let change = kept.shift(); change !== undefined; change = kept.shift()) {
        last = keyOf(change)
        yield change
        if (terminal.includes(change.status)) return
      }
      if (failure !== undefined) throw failure
      await wake.promise
      wake = Promise.withResolvers()
    }
  } finally {
    clearInterval(timer)
    stopListening()
    events.unsubscribe()
  }
}

function changeOf(answer: TaskAnswer): LifecycleEvent {
  const { id, type, status, attempt, turn, node, progress, error } = answer
  return {
    id,
    type,
    what: 'state',
    status,
    attempt,
    turn,
    at: answer.finishedAt ?? answer.startedAt ?? answer.submittedAt,
    ...(node === undefined ? {} : { node }),
    ...(progress === undefined ? {} : { progress }),
    ...(error === undefined ? {} : { error }),
  }
}

/** What makes two reports of a task the same to a watcher. */
function keyOf(change: LifecycleEvent): string {
  return `${change.status} ${change.turn} ${change.progress?.fraction ?? ''} ${change.progress?.note ?? ''}`
}

function readChange(data: Uint8Array): LifecycleEvent | undefined {
  try {
    const change = parseJson(data) as LifecycleEvent | null
    return typeof change?.id === 'string' && typeof change.status === 'string' ? change : undefined
  } catch {
    return undefined
  }
}
