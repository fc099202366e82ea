/**
 * Wrong use of every kind, as somebody in a hurry does it: each mistake has an error code of its own, a text that names
 * what was given, and says what to do next. Through the SDK on a real server and a real process, and through the command.
 */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { adviceFor, connect, type ErrorCode, type Troupe, TroupeError, task } from '../../src/client/index.ts'
import { loadTasks } from '../../src/runtime/tasks/load.ts'
import { Cluster } from '../harness/cluster.ts'
import { connectPlain } from '../harness/plain-client.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe as command } from '../runtime/cli/command.ts'

const server = useServer()
const namespace = freshNamespace()
const file = (name: string) => fileURLToPath(new URL(`./wrong-use/${name}.ts`, import.meta.url))
let cluster: Cluster
let troupe: Troupe

beforeAll(async () => {
  cluster = new Cluster(server.url, namespace, await connectPlain(server.url, namespace))
  await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files: [file('tasks')] })
  troupe = await connect({ servers: server.url, namespace })
}, 60_000)
afterAll(async () => {
  await troupe?.close()
  await cluster?.end()
})

/** Submits and resolves with the result. */
const result = async (...submission: Parameters<Troupe['submit']>) => (await troupe.submit(...submission)).result()
const ran = (type: string) => () => result(type)
const conflict = async () => {
  await troupe.submit('patient', 1, { id: 'conflict' })
  return result('patient', 2, { id: 'conflict' })
}
const finished = async () => {
  const handle = await troupe.submit('strict', { n: 1 }, { id: 'finished' })
  await handle.result()
  await handle.signal({ type: 'GO' })
}
const otherOrder = async () => {
  const handle = await troupe.submit('other-order')
  await until(async () => (await handle.state()).status === 'parked', 'its first run is over', 30_000)
  await handle.signal({ type: 'GO' })
  return handle.result()
}

/** What somebody does, the code of the error, what its text names, and whether the error is the cause of the task's. */
const mistakes: readonly (readonly [what: string, code: ErrorCode, text: RegExp, doIt: () => unknown])[] = [
  // definitions
  ['a task without a name', 'TROUPE_INVALID_NAME', /task type ""/, () => task('', () => 1)],
  ['logic that is none', 'TROUPE_INVALID_TASK', /task "t".*not object/, () => task('t', {} as never)],
  [
    'a misspelt option of a task',
    'TROUPE_UNKNOWN_OPTION',
    /"timout" \(did you mean "timeout"\?\)/,
    () => task('t', () => 1, { timout: '1s' } as never),
  ],
  [
    'a misspelt option of its retries',
    'TROUPE_UNKNOWN_OPTION',
    /"retry\.atempts" \(did you mean "retry\.attempts"/,
    () => task('t', () => 1, { retry: { atempts: 3 } as never }),
  ],
  [
    'a bad duration',
    'TROUPE_INVALID_DURATION',
    /task "t": timeout "5 minutes"/,
    () => task('t', () => 1, { timeout: '5 minutes' }),
  ],
  [
    'bad retry options',
    'TROUPE_INVALID_RETRY',
    /task "t": retry\.attempts 0/,
    () => task('t', () => 1, { retry: { attempts: 0 } }),
  ],
  [
    'an isolation that there is not',
    'TROUPE_INVALID_OPTION',
    /isolate.*"vm"/,
    () => task('t', () => 1, { isolate: 'vm' as never }),
  ],
  [
    'an actor that the machine does not have',
    'TROUPE_UNKNOWN_ACTOR',
    /state "paying" of machine "shop" invokes the actor "charge"/,
    () =>
      task('t', createMachine({ id: 'shop', initial: 'paying', states: { paying: { invoke: { src: 'charge' } } } })),
  ],
  // files
  ['a file that exports no task', 'TROUPE_NO_TASKS', /none\.ts exports no task/, () => loadTasks([file('none')])],
  [
    'a type in two files',
    'TROUPE_DUPLICATE_TASK',
    /"patient" is exported by .*tasks\.ts and by .*duplicate\.ts/,
    () => loadTasks([file('tasks'), file('duplicate')]),
  ],
  [
    'a file that throws',
    'TROUPE_IMPORT_FAILED',
    /broken\.ts.*the settings are missing/,
    () => loadTasks([file('broken')]),
  ],
  ['a file that is not there', 'TROUPE_USAGE', /no file .*absent\.ts/, () => loadTasks([file('absent')])],
  // submissions
  [
    'a misspelt option of a submission',
    'TROUPE_UNKNOWN_OPTION',
    /"prioritty" \(did you mean "priority"\?\)/,
    () => troupe.submit('patient', 1, { prioritty: 1 } as never),
  ],
  [
    'a misspelt option of a connection',
    'TROUPE_UNKNOWN_OPTION',
    /"server" \(did you mean "servers"\?\)/,
    () => connect({ server: server.url } as never),
  ],
  [
    'a bad priority',
    'TROUPE_INVALID_PRIORITY',
    /priority 10 .*between 0 and 9/,
    () => troupe.submit('patient', 1, { priority: 10 }),
  ],
  [
    'a deadline that is no time',
    'TROUPE_INVALID_INSTANT',
    /deadline "tomorrow"/,
    () => troupe.submit('patient', 1, { deadline: 'tomorrow' }),
  ],
  ['an id that is reserved', 'TROUPE_RESERVED_ID', /"0-17"/, () => troupe.submit('patient', 1, { id: '0-17' })],
  [
    'waiting for oneself',
    'TROUPE_WAITS_FOR_ITSELF',
    /"me" names itself/,
    () => troupe.submit('patient', 1, { id: 'me', after: ['me'] }),
  ],
  [
    'an input with a function',
    'TROUPE_NOT_SERIALIZABLE',
    /input\.save is a function/,
    () => troupe.submit('patient', { save: () => 1 }),
  ],
  [
    'an input that is too large',
    'TROUPE_TOO_LARGE',
    /input.*67108864/,
    () => troupe.submit('patient', 'x'.repeat(65 * 1024 * 1024)),
  ],
  [
    'an input that does not fit the schema',
    'TROUPE_INVALID_INPUT',
    /"strict": n: must be a number/,
    () => result('strict', { n: 'one' }),
  ],
  ['the same id with another input', 'TROUPE_ID_CONFLICT', /"conflict"/, conflict],
  [
    'a cycle in a flow',
    'TROUPE_FLOW_CYCLE',
    /"a", "b"/,
    () =>
      troupe.flow([
        { id: 'a', task: 'patient', after: ['b'] },
        { id: 'b', task: 'patient', after: ['a'] },
      ]),
  ],
  [
    'an id twice in a flow',
    'TROUPE_DUPLICATE_ID',
    /"a"/,
    () =>
      troupe.flow([
        { id: 'a', task: 'patient' },
        { id: 'a', task: 'patient' },
      ]),
  ],
  [
    'a type that nobody knows',
    'TROUPE_UNKNOWN_TYPE',
    /"pateint" \(did you mean "patient"\?\)/,
    async () => (await troupe.submit('pateint')).result({ timeout: '1s' }),
  ],
  ['a signal to a task that has ended', 'TROUPE_TASK_FINISHED', /"finished" has ended \(completed\)/, finished],
  [
    'a signal to a task that nobody knows',
    'TROUPE_UNKNOWN_TASK',
    /"ghost"/,
    () => troupe.handle('ghost').signal({ type: 'GO' }),
  ],
  [
    'an event without a type',
    'TROUPE_INVALID_EVENT',
    /without a type/,
    () => troupe.handle('conflict').signal({ go: 1 } as never),
  ],
  [
    'a retry of a task that has not failed',
    'TROUPE_NOT_FAILED',
    /"conflict" is \w+/,
    () => troupe.handle('conflict').retry(),
  ],
  ['a drain of a node that is not there', 'TROUPE_UNKNOWN_NODE', /"nobody"/, () => troupe.drain('nobody')],
  ['a namespace with a dot', 'TROUPE_INVALID_OPTION', /"a\.b"/, () => connect({ namespace: 'a.b' })],
  // what tasks do
  ['a function in a context', 'TROUPE_NOT_SERIALIZABLE', /context\.call is a function/, ran('function-in-context')],
  [
    'an instance in a context',
    'TROUPE_CLASS_INSTANCE',
    /context\.price is an instance of Money/,
    ran('instance-in-context'),
  ],
  ['a context that contains itself', 'TROUPE_CYCLIC_VALUE', /context\.cyclic\.self/, ran('cyclic-context')],
  ['a child from inline logic', 'TROUPE_INLINE_CHILD', /child "kid"/, ran('inline-child')],
  ['a child without an id', 'TROUPE_CHILD_WITHOUT_ID', /a child of "child"/, ran('nameless-child')],
  ['two steps of one name', 'TROUPE_STEP_NAME_TWICE', /"pay" was used twice/, ran('two-steps')],
  ['steps in another order', 'TROUPE_STEP_MISMATCH', /asked for "b".*"a" first/, otherOrder],
  ['a step inside a step', 'TROUPE_NESTED_CALL', /inside step "outer"/, ran('step-in-step')],
  ['a step without tries', 'TROUPE_INVALID_RETRY', /step "s": retry\.attempts 0/, ran('bad-step-retry')],
  ['a promise in a result', 'TROUPE_NOT_SERIALIZABLE', /result\.value is a promise/, ran('promise-result')],
  ['a sleep of no duration', 'TROUPE_INVALID_DURATION', /sleep "a while"/, ran('bad-sleep')],
  ['a sleep until no time', 'TROUPE_INVALID_INSTANT', /sleepUntil some day/, ran('bad-instant')],
  ['a misspelt option of a child', 'TROUPE_UNKNOWN_OPTION', /"prio"/, ran('misspelt-child')],
  ['a bad priority of a child', 'TROUPE_INVALID_PRIORITY', /priority 33/, ran('dishonoured')],
  ['a call of ctx after the end', 'TROUPE_CONTEXT_ENDED', /task "0-\d+-0" had ended/, ran('late-call')],
]

test.each(mistakes)(
  '%s is %s',
  async (_what, code, text, doIt) => {
    const error = await (async () => doIt())().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(TroupeError)
    const own = error as TroupeError
    const told = own.code === 'TROUPE_TASK_FAILED' ? (own.cause as TroupeError) : own
    expect(told.code).toBe(code)
    expect(told.message).toMatch(text)
    expect(adviceFor(told.code)).toMatch(/\w.{10,}/)
  },
  45_000,
)

test('there are many kinds of wrong use, and as many codes', () => {
  expect(new Set(mistakes.map(([, code]) => code)).size).toBeGreaterThanOrEqual(35)
})

/** The arguments, the exit code, and what stderr names besides the advice. */
const commands: readonly (readonly [args: string[], exit: number, text: RegExp, code: ErrorCode | undefined])[] = [
  [['submit', 'a.b'], 2, /"a\.b" is not a valid name/, 'TROUPE_INVALID_NAME'],
  [['submit', 'patient', '{oops'], 2, /not JSON/, 'TROUPE_UNREADABLE'],
  [['submit', 'patient', '--priority', '10'], 2, /between 0 and 9/, undefined],
  [['submit', 'patient', '--delay', 'soon'], 2, /delay "soon"/, 'TROUPE_INVALID_DURATION'],
  [['submit', 'patient', '--deadline', 'soon'], 2, /deadline "soon"/, 'TROUPE_INVALID_INSTANT'],
  [['submit', 'patient', '--prioritty', '1'], 2, /Did you mean --priority/, undefined],
  [['submit', 'patient', '--id', '0-1'], 2, /"0-1"/, 'TROUPE_RESERVED_ID'],
  [['submit', 'patient', '--id', 'x', '--after', 'x'], 2, /"x" names itself/, 'TROUPE_WAITS_FOR_ITSELF'],
  [['submit', 'pateint'], 0, /did you mean "patient"/, 'TROUPE_UNKNOWN_TYPE'],
  [['run', 'pateint', '--timeout', '500ms'], 3, /did you mean "patient"/, 'TROUPE_UNKNOWN_TYPE'],
  [['run', 'strict', '{"n":"one"}'], 1, /n: must be a number/, 'TROUPE_INVALID_INPUT'],
  [['run', 'two-steps'], 1, /"pay" was used twice/, 'TROUPE_STEP_NAME_TWICE'],
  [['signal', 'ghost', '{"type":"GO"}'], 1, /"ghost"/, 'TROUPE_UNKNOWN_TASK'],
  [['signal', 'done', '{"type":"GO"}'], 1, /"done" has ended/, 'TROUPE_TASK_FINISHED'],
  [['signal', 'done', '"GO"'], 2, /"GO" is no event/, 'TROUPE_INVALID_EVENT'],
  [['retry', 'done'], 1, /"done" is completed/, 'TROUPE_NOT_FAILED'],
  [['drain', 'nobody'], 1, /"nobody"/, 'TROUPE_UNKNOWN_NODE'],
  [['check', file('none')], 2, /exports no task/, 'TROUPE_NO_TASKS'],
  [['start', file('tasks'), file('duplicate')], 1, /"patient" is exported by/, 'TROUPE_DUPLICATE_TASK'],
  [['start', file('broken')], 1, /the settings are missing/, 'TROUPE_IMPORT_FAILED'],
]

test('the command line says the same', async () => {
  const done = await troupe.submit('strict', { n: 1 }, { id: 'done' })
  await until(async () => (await done.state()).status === 'completed', 'a task has ended')
  for (const [args, exit, text, code] of commands) {
    const { stderr, code: ended } = await command([...args, '--nats', server.url, '--namespace', namespace])
    expect(stderr, args.join(' ')).toMatch(text)
    if (code !== undefined) expect(stderr, args.join(' ')).toContain(code)
    expect(ended, `${args.join(' ')}: ${stderr}`).toBe(exit)
  }
}, 90_000)
