/** The package as users get it: packed from a copy of the source, unpacked elsewhere, and run without a clone around. */
import { execFile, execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, run } from './harness/programs.ts'

const execute = promisify(execFile)
const installedBytesMax = 30 * 1024 * 1024

let folder = ''
/** A user's project with the package and its dependencies in node_modules. */
let project = ''
let manifest: { version: string; exports: { '.': { types: string; default: string } } }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-package-'))
  const clone = join(folder, 'clone')
  project = join(folder, 'project')
  copySource(clone)
  await execute('npm', ['pack', '--pack-destination', folder], { cwd: clone })
  expect(readFileSync(join(clone, 'package.json'), 'utf8')).toBe(readFileSync(join(root, 'package.json'), 'utf8'))

  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!
  const installed = join(project, 'node_modules/troupe')
  mkdirSync(installed, { recursive: true })
  await execute('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components=1'])
  manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  copyDependencies(join(project, 'node_modules'))
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What git knows, without what it ignores; the installed packages are only linked. */
function copySource(to: string): void {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
  }).toString()
  for (const file of files.split('\n').filter((name) => name !== '' && existsSync(join(root, name)))) {
    mkdirSync(join(to, dirname(file)), { recursive: true })
    cpSync(join(root, file), join(to, file))
  }
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'))
}

/** The packages that `npm install troupe` brings along, by the lock file, without the embedded server. */
function copyDependencies(to: string): void {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>
  }
  for (const [path, entry] of Object.entries(packages)) {
    const name = path.slice('node_modules/'.length)
    if (path === '' || entry.dev || name.startsWith('@eplightning/') || !existsSync(join(root, path))) continue
    cpSync(join(root, path), join(to, name), { recursive: true })
  }
}

function bytesOf(path: string): number {
  const found = readdirSync(path, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}

test('its command runs outside a clone, from JavaScript', async () => {
  const { code, stdout, stderr } = await run([join(project, 'node_modules/troupe/bin/troupe.mjs'), '--version'], {
    cwd: project,
  })
  expect(stderr).toBe('')
  expect(stdout.trim()).toBe(manifest.version)
  expect(code).toBe(0)
})

test('its door opens for a program, and its declarations stand beside it', async () => {
  const { default: entry, types } = manifest.exports['.']
  expect(existsSync(join(project, 'node_modules/troupe', types))).toBe(true)
  expect(entry).toMatch(/^\.\/dist\/.*\.js$/)
  writeFileSync(
    join(project, 'program.mjs'),
    "import { task } from 'troupe'\nconsole.log(task('double', (n) => 2 * n).type)\n",
  )
  const { code, stdout } = await run([join(project, 'program.mjs')], { cwd: project })
  expect(stdout.trim()).toBe('double')
  expect(code).toBe(0)
})

test('it starts every module that it starts by path: no source file is named in what is built', () => {
  const dist = join(project, 'node_modules/troupe/dist')
  const built = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
  const paths = built.flatMap((file) =>
    [...readFileSync(join(dist, file), 'utf8').matchAll(/new URL\(\s*'(\.[^']+)'/g)].map(([, path]) =>
      join(dirname(file), path!),
    ),
  )
  expect(paths.filter((path) => !existsSync(join(dist, path)))).toEqual([])
})

test('it is small, without the embedded server', () => {
  expect(bytesOf(join(project, 'node_modules'))).toBeLessThan(installedBytesMax)
})
