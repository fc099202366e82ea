import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { troupe } from './command.ts'

const commands =
  'dev start submit run ls show result signal cancel retry history dead nodes top drain check queue cron doctor bench auth install'.split(
    ' ',
  )

test('--help lists the commands, and each has its own help with exit code 0', async () => {
  const help = await troupe(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const command of commands) {
    expect(help.stdout).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'))
    const own = await troupe([command, '--help'])
    expect(own.code).toBe(0)
    expect(own.stdout).toMatch(/Usage: troupe/)
    expect(own.stdout).toMatch(/--nats <url>/)
  }
})

test('commands that do not exist yet are not offered', async () => {
  const { stdout } = await troupe(['--help'])
  expect(stdout).not.toMatch(/^ {2}inspect\b/m)
})

test('wrong usage is told on stderr with a suggestion, and ends with 2', async () => {
  const cases: [string[], RegExp][] = [
    [['sumbit', 'x'], /Did you mean submit\?/],
    [['ls', '--staus', 'ready'], /Did you mean --status\?/],
    [['ls', '--status', 'redy'], /Allowed choices/],
    [['ls', '--limit', '0'], /between 1 and 1000/],
    [['submit'], /missing required argument 'type'/],
    [['install', '--log-size', '32'], /like 512MiB or 32GiB/],
    [['start', '--log-size', '1MiB'], /not a size of 16MiB or more/],
    [['submit', 'x', '{', '--priority', '10'], /between 0 and 9/],
    [['run', 'x', '1', '--timeout', 'soon'], /not a duration/],
    [['submit', 'x', '--timeout', '1s'], /--timeout means nothing without --wait/],
    [['run', 'x', '--unique-key', 'k'], /--unique-key means nothing without --unique/],
    [['run', 'x', '--gang', 'job-7'], /size of --gang/],
    [['queue', 'limit', 'x', '--period', '1m'], /--period means nothing without --starts/],
    [['queue', 'limit', 'x', '--break-for', '1m'], /--break-for means nothing without --break-at/],
    [['dev', '--nats', 'nats://127.0.0.1:1'], /troupe dev starts a server of its own/],
    [['start', '--roles', 'cook', 'a.ts'], /"cook" is no role/],
    [['start'], /a node needs modules/],
    [[], /Usage: troupe/],
  ]
  for (const [args, message] of cases) {
    const ran = await troupe(args)
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(ran.stderr).toMatch(message)
  }
})

test('no server ends with 3 and says what to do; with --json stdout holds one error value', async () => {
  const human = await troupe(['ls', '--nats', 'nats://127.0.0.1:1'])
  expect(human).toMatchObject({ code: 3, stdout: '' })
  expect(human.stderr).toMatch(/troupe dev/)
  const json = await troupe(['ls', '--json', '--nats', 'nats://127.0.0.1:1'])
  expect(json.code).toBe(3)
  expect(json.values).toMatchObject([{ error: { code: 'TROUPE_NO_SERVER' } }])
})

test('a flag beats a variable, a variable beats the configuration file, which beats the default', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'troupe-config-'))
  onTestFinished(() => rmSync(cwd, { recursive: true }))
  writeFileSync(join(cwd, 'troupe.config.ts'), "export default { nats: 'nats://127.0.0.1:2' as string }\n")
  const env = { TROUPE_NATS: 'nats://127.0.0.1:3' }
  expect((await troupe(['ls'], { cwd })).stderr).toMatch(/127\.0\.0\.1:2/)
  expect((await troupe(['ls'], { cwd, env })).stderr).toMatch(/127\.0\.0\.1:3/)
  expect((await troupe(['ls', '--nats', 'nats://127.0.0.1:1'], { cwd, env })).stderr).toMatch(/127\.0\.0\.1:1/)
  writeFileSync(join(cwd, 'troupe.config.ts'), 'export default { natz: 1 }\n')
  const unknown = await troupe(['ls'], { cwd })
  expect(unknown).toMatchObject({ code: 2 })
  expect(unknown.stderr).toMatch(/no option "natz"/)
  writeFileSync(join(cwd, 'troupe.config.ts'), "export default { nats: 'nats://127.0.0.1:2', slots: 'many' }\n")
  expect((await troupe(['start', 'a.ts'], { cwd })).stderr).toMatch(/slots.*not a whole number/)
})
