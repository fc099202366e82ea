import { expect, test } from 'vitest'
import { useStages } from '../../client/setup.ts'
import { until } from '../../harness/server.ts'
import { troupe } from './command.ts'

const stages = useStages()

async function stage() {
  const made = await stages.stage()
  const env = { TROUPE_NATS: stages.server.url, TROUPE_NAMESPACE: made.namespace }
  const run = (args: string[], stdin?: string) => troupe(args, stdin === undefined ? { env } : { env, stdin })
  return { ...made, run }
}

test('submit prints the id, and the task is in the log', async () => {
  const { run, scheduler } = await stage()
  const given = await run([
    'submit',
    'echo',
    '{"n":1}',
    '--id',
    'a',
    '--priority',
    '7',
    '--delay',
    '2s',
    '--after',
    'x,y',
  ])
  expect(given).toMatchObject({ code: 0, stdout: 'a\n', stderr: '' })
  const own = await run(['submit', 'echo', '--json'])
  expect(own.values).toEqual([{ id: expect.stringMatching(/^0-\d+-0$/) }])
  const { submissions } = await scheduler()
  await until(() => submissions.length === 2, 'both arrive')
  expect(submissions[0]![2]).toEqual({ id: 'a', priority: 7, delayMs: 2_000, after: ['x', 'y'] })
})

test('run prints the result, or the error with exit code 1', async () => {
  const { run, scheduler } = await stage()
  await scheduler()
  expect(await run(['run', 'echo', '{"n":1}'])).toMatchObject({ code: 0, stdout: '{\n  "n": 1\n}\n', stderr: '' })
  const json = await run(['run', 'echo', '-', '--json', '--id', 'r'], '[1,2]')
  expect(json).toMatchObject({ code: 0, stderr: '' })
  expect(json.values).toEqual([{ id: 'r', status: 'completed', result: [1, 2] }])
  const failed = await run(['run', 'fail', '--id', 'f'])
  expect(failed).toMatchObject({ code: 1, stdout: '' })
  expect(failed.stderr).toMatch(/task "f" failed: boom/)
  const failedJson = await run(['submit', 'fail', '--wait', '--json', '--id', 'f'])
  expect(failedJson.code).toBe(1)
  expect(failedJson.values).toMatchObject([
    { id: 'f', status: 'failed', error: { code: 'TROUPE_TASK_FAILED', message: 'boom' } },
  ])
})

test('an argument that is not JSON is wrong usage', async () => {
  const { run } = await stage()
  const ran = await run(['submit', 'echo', '{n:1}'])
  expect(ran).toMatchObject({ code: 2, stdout: '' })
  expect(ran.stderr).toMatch(/not JSON/)
})

test('a wait that is too long ends with 3', async () => {
  const { run } = await stage()
  const ran = await run(['run', 'echo', '1', '--timeout', '50ms'])
  expect(ran).toMatchObject({ code: 3, stdout: '' })
})

test('show, result and signal go by the id of a task', async () => {
  const { run, scheduler } = await stage()
  await scheduler()
  await run(['submit', 'hold', '--id', 'h'])
  const shown = await run(['show', 'h', '--json'])
  expect(shown.values).toMatchObject([{ id: 'h', type: 'hold', status: 'ready' }])
  expect((await run(['show', 'h'])).stdout).toMatch(/^status +ready$/m)
  expect(await run(['result', 'h', '--timeout', '0'])).toMatchObject({ code: 3, stdout: '' })
  expect(await run(['signal', 'h', '{"type":"GO"}', '--json'])).toMatchObject({ code: 0 })
  expect((await run(['result', 'h', '--json'])).values).toEqual([
    { id: 'h', status: 'completed', result: { type: 'GO' } },
  ])
  expect(await run(['signal', 'h', '{"type":"GO"}'])).toMatchObject({ code: 1 })
  expect(await run(['signal', 'h', '{"kind":"GO"}'])).toMatchObject({ code: 2 })
  const unknown = await run(['show', 'nobody', '--json'])
  expect(unknown.code).toBe(1)
  expect(unknown.values).toMatchObject([{ error: { code: 'TROUPE_UNKNOWN_TASK' } }])
})

test('with no scheduler, a question ends with 3', async () => {
  const { run } = await stage()
  const ran = await run(['nodes'])
  expect(ran).toMatchObject({ code: 3, stdout: '' })
  expect(ran.stderr).toMatch(/troupe doctor/)
})
