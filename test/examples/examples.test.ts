/** The examples as their headers tell a user to run them, on a real `troupe dev`. */
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seahorses } from '../../examples/picture/fractal.ts'
import { pictureAlone } from '../../examples/picture/picture.ts'
import { type DevCluster, root, run, startDev } from '../harness/programs.ts'

const files = ['hello', 'word-count', 'order', 'picture'].map((name) => `examples/${name}/tasks.ts`)

describe('on a running cluster', () => {
  let dev: DevCluster

  beforeAll(async () => {
    dev = await startDev(files)
  })
  afterAll(async () => {
    await dev?.[Symbol.asyncDispose]()
  })

  const example = (...args: string[]) => run(args, { env: { TROUPE_NATS: dev.ready.nats } })

  test('the greeting of the README is printed by the command line', async () => {
    const { code, stdout } = await example('bin/troupe.mjs', 'run', 'greet', '{"name":"you"}')
    expect(stdout).toBe('"Hello YOU"\n')
    expect(code).toBe(0)
  })

  test('the programs of the README that submit, with the SDK and with a plain client, print the greeting', async () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const programs = [...readme.matchAll(/```ts\n(import \{ connect.*?)```/gs)].map(([, program]) => program!)
    expect(programs).toHaveLength(2)
    for (const program of programs) {
      const source = program.replace('nats://127.0.0.1:4222', dev.ready.nats)
      const { code, stdout, stderr } = await run(['--input-type=module', '--eval', source], {
        cwd: join(root, 'examples/hello'),
      })
      expect(stderr).toBe('')
      expect(stdout).toContain('Hello YOU')
      expect(code).toBe(0)
    }
  })

  test('the words of a folder of texts are counted as a direct count does', async () => {
    const { code, stdout, stderr } = await example('examples/word-count/count.ts')
    expect(stderr).toBe('')
    expect(stdout).toContain('The same as a direct count.')
    expect(Number(/(\d+) texts in (\d+) pieces/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(10)
    expect(code).toBe(0)
  })

  test('an approved order is charged once although the bank fails at first; a rejected one is not', async () => {
    const { code, stdout, stderr } = await example('examples/order/decide.ts')
    expect(stderr).toBe('')
    expect(stdout).toMatch(/tea: .*status: 'paid'/s)
    expect(stdout).toMatch(/cake:.*status: 'rejected'/s)
    expect(code).toBe(0)
  })

  test('a plain NATS client submits and is told the outcome', async () => {
    const { code, stdout, stderr } = await example('examples/publish/publish.ts')
    expect(stderr).toBe('')
    expect(stdout).toContain('stored in the log: {"stream":')
    const [, outcome] = /^outcome: (.*)$/m.exec(stdout) ?? []
    expect(JSON.parse(outcome ?? 'null')).toMatchObject({
      status: 'completed',
      result: { to: 2, be: 2, or: 1, not: 1 },
    })
    expect(code).toBe(0)
  })

  test('a picture is written whose pixels are those of the picture computed alone', async () => {
    const file = join(tmpdir(), `troupe-picture-${process.pid}.png`)
    const { code, stderr } = await example('examples/picture/render.ts', file, '480')
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(readFileSync(file).equals(pictureAlone({ ...seahorses, width: 480, height: 320 }))).toBe(true)
    rmSync(file)
  })
})
