/**
 * The rules of the source tree, as tests: which folder may import which, what pure folders may not touch, how big a file
 * may be, and that nothing of a developer's machine gets into the repository. Looks at tracked files and at new ones.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorDocs } from '../scripts/error-docs.ts'
import { errorCodes } from '../src/protocol/errors.ts'

const root = resolve(import.meta.dirname, '..')
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)))

const source = files.filter((file) => file.startsWith('src/') && file.endsWith('.ts'))
const tests = files.filter((file) => file.startsWith('test/') && file.endsWith('.test.ts'))
const scripts = files.filter((file) => /\.(ts|mts|mjs|js)$/.test(file))
const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const text = (file: string): string => texts.get(file) ?? ''

/** The code of a file without its comments, so that prose may name what code may not. */
function code(file: string): string {
  return withoutComments(text(file))
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

/** What a file imports, statically or not: package names as written, own files from the root. */
function imports(file: string): string[] {
  const found = code(file).matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)'([^']+)'/g)
  return [...found].map(([, name]) =>
    name!.startsWith('.') ? relative(root, join(root, dirname(file), name!)) : name!,
  )
}

const folderOf = (file: string): string => file.split('/').slice(0, 2).join('/')

/** `file: what` for every file whose imports include one that `forbidden` names. */
function wrongImports(among: readonly string[], forbidden: (name: string, file: string) => boolean): string[] {
  return among.flatMap((file) =>
    imports(file)
      .filter((name) => forbidden(name, file))
      .map((name) => `${file}: ${name}`),
  )
}

/** `file:line: text` for every line of code that `pattern` finds. */
function lines(among: readonly string[], pattern: RegExp): string[] {
  return among.flatMap((file) =>
    code(file)
      .split('\n')
      .filter((line) => pattern.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  )
}

describe('imports', () => {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    'src/protocol': [],
    'src/nats': ['src/protocol'],
    'src/actors': ['src/protocol'],
    'src/client': ['src/protocol', 'src/nats'],
    'src/runtime': ['src/protocol', 'src/nats', 'src/actors', 'src/client'],
    'src/testing': ['src/protocol', 'src/actors', 'src/client', 'src/runtime'],
  }

  test('run one way between the folders', () => {
    const wrong = wrongImports(source, (name, file) => {
      const from = folderOf(file)
      if (name.startsWith('src/')) return folderOf(name) !== from && !(allowed[from] ?? []).includes(folderOf(name))
      return /^(test|examples|bench|scripts|\.\.)(\/|$)/.test(name)
    })
    expect(wrong).toEqual([])
    expect(source.filter((file) => !(folderOf(file) in allowed))).toEqual([])
  })

  test('of the NATS client stand in src/nats alone', () => {
    const elsewhere = source.filter((file) => !file.startsWith('src/nats/'))
    expect(wrongImports(elsewhere, (name) => name.startsWith('@nats-io/'))).toEqual([])
  })

  test('of actors and protocol are pure: xstate for actors, the codec for the protocol, and no node modules', () => {
    const actors = source.filter((file) => file.startsWith('src/actors/'))
    const protocol = source.filter((file) => file.startsWith('src/protocol/'))
    expect(wrongImports(actors, (name) => !name.startsWith('src/') && name !== 'xstate')).toEqual([])
    expect(wrongImports(protocol, (name) => !name.startsWith('src/') && !name.startsWith('msgpackr'))).toEqual([])
  })

  test('name files that exist', () => {
    const own = scripts.filter((file) => /^(src|test|examples|bench)\//.test(file))
    expect(wrongImports(own, (name) => /^(src|test|examples|bench)\//.test(name) && !texts.has(name))).toEqual([])
  })

  test('of packages are dependencies that package.json declares', () => {
    const declared = JSON.parse(text('package.json'))
    const runtime = Object.keys({ ...declared.dependencies, ...declared.optionalDependencies })
    const packageOf = (name: string): string =>
      name.startsWith('@') ? name.split('/', 2).join('/') : name.split('/')[0]!
    const foreign = (name: string): boolean => !name.startsWith('src/') && !name.startsWith('node:')
    expect(wrongImports(source, (name) => foreign(name) && !runtime.includes(packageOf(name)))).toEqual([])
    const used = new Set(source.flatMap(imports).filter(foreign).map(packageOf))
    expect(Object.keys(declared.dependencies).filter((name) => !used.has(name))).toEqual([])
  })
})

describe('code', () => {
  test('touches the internals of XState in one file', () => {
    const elsewhere = source.filter((file) => file !== 'src/runtime/tasks/xstate-adapter.ts')
    expect(lines(elsewhere, /\._parent\b|\._snapshot\b|\.system\b[?!]?\.(_|scheduler\b)/)).toEqual([])
  })

  test('of actors and protocol has no clock, no timers and no chance', () => {
    const pure = source.filter((file) => /^src\/(actors|protocol)\//.test(file))
    const impure =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\b(set|clear)(Timeout|Interval|Immediate)\b|\bperformance\.|\bcrypto\b|\bprocess\./
    expect(lines(pure, impure)).toEqual([])
  })

  test('measures durations by a clock that nobody can set', () => {
    const wallClock = lines(
      source.filter(
        (file) => /^src\/(actors|client|nats|runtime)\//.test(file) && !/\/(cli|bench|doctor|auth)\//.test(file),
      ),
      /\bDate\.now\(/,
    )
    // Instants that people read, where the clocks of a node and of its threads meet, and time that a machine slept.
    expect(new Set(wallClock.map((line) => line.split(':')[0]))).toEqual(
      new Set([
        'src/nats/recent-names.ts',
        'src/runtime/dev.ts',
        'src/runtime/health-watch.ts',
        'src/runtime/ledger/log-clock.ts',
        'src/runtime/tasks/isolated-entry.ts',
        'src/runtime/tasks/isolated-runner.ts',
        'src/runtime/tasks/isolated-turns.ts',
      ]),
    )
  })

  test('has named exports only, and neither any, enums nor namespaces', () => {
    expect(lines(source, /^export default\b/)).toEqual([])
    expect(lines(source, /@ts-(ignore|expect-error|nocheck)/)).toEqual([])
    // Where no other type will do, the reason stands above the line.
    const reasoned = /^.*biome-ignore lint\/suspicious\/noExplicitAny: .{10,}\n.*$/gm
    const unreasoned = source.filter((file) =>
      /(:|\bas|<|\||,)\s*any\b(?!['"\w])/.test(withoutComments(text(file).replace(reasoned, ''))),
    )
    expect(unreasoned).toEqual([])
    expect(
      lines(source, /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s|^\s*(export\s+)?namespace\s+\w+\s*\{/),
    ).toEqual([])
  })

  test('stands in files of at most 400 lines, named in kebab-case after what they hold', () => {
    const rows = (file: string): number => text(file).split('\n').length - 1
    expect(source.filter((file) => rows(file) > 400).map((file) => `${file}: ${rows(file)}`)).toEqual([])
    const name = (file: string): string => file.split('/').at(-1)!
    expect(source.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.ts$/.test(name(file)))).toEqual([])
    expect(source.filter((file) => /(^|-)(utils?|helpers?|managers?|misc|common)\b/.test(name(file)))).toEqual([])
  })

  test('opens with a comment that says what the module decides', () => {
    expect(source.filter((file) => !/^(#!.*\n)?\/\*\*/.test(text(file)))).toEqual([])
  })
})

describe('tests', () => {
  /** Folders of tests that look at the whole from outside, so they mirror no folder of src. */
  const whole = ['browser', 'cluster', 'examples', 'simulation', 'system', 'chaos', 'fuzz', 'histories', 'power-loss']

  test('mirror a folder of src, or look at the whole', () => {
    const stray = tests.filter((file) => {
      const folder = dirname(file).split('/').slice(1)
      if (folder.length === 0) return !['architecture', 'docs', 'package'].includes(file.slice(5, -'.test.ts'.length))
      return !whole.includes(folder[0]!) && !existsSync(join(root, 'src', ...folder))
    })
    expect(stray).toEqual([])
  })

  test('all run: none is skipped, marked to do, expected to fail or run alone', () => {
    const idle = /\b(test|it|describe)(\.\w+)*\.(skip|only|todo|fails|skipIf|runIf)\b|\bx(it|describe|test)\(/
    expect(
      lines(
        tests.filter((file) => file !== 'test/architecture.test.ts'),
        idle,
      ),
    ).toEqual([])
  })

  test('wait for facts or in virtual time, never in real time', () => {
    const asleep = /\bawait new Promise.*\bsetTimeout\(\w+,\s*[\d_]{3,}\s*\)|\bawait (sleep|delay)\(\s*[\d_]{3,}\s*\)/
    const virtual = /\buseFakeTimers\b|\badvance\b|\b(runTask|expectDurable)\(/
    const real = tests.filter((file) => file !== 'test/architecture.test.ts' && !virtual.test(code(file)))
    expect(lines(real, asleep)).toEqual([])
  })
})

describe('the repository', () => {
  const prose = files.filter((file) => !/\.(png|svg|ico|woff2?)$/.test(file))

  test('holds no path of a developer machine and no address of a package registry', () => {
    const machine = new RegExp(
      `${['/ho', 'me/'].join('')}(?!node\\b)\\w|${['/Us', 'ers/'].join('')}\\w|(?<![\\w}])${['/ro', 'ot/'].join('')}\\w`,
    )
    const registry = /https?:\/\/[a-z0-9.-]*registry[a-z0-9.-]*\/|"resolved":/
    // A clone in a folder for temporary files has no telling parent.
    const here = `${dirname(root) === tmpdir() ? root : dirname(root)}/`
    const found = prose.filter((file) => {
      const body = text(file)
      return (here.length > 2 && body.includes(here)) || machine.test(body) || registry.test(body)
    })
    expect(found.filter((file) => file !== 'test/architecture.test.ts')).toEqual([])
  })
})

describe('error codes', () => {
  const users = source
    .filter((file) => file !== 'src/protocol/errors.ts')
    .map(code)
    .join('\n')

  test('of the table are all used', () => {
    expect(errorCodes.filter((name) => !new RegExp(`\\b${name}\\b`).test(users))).toEqual([])
  })

  test('in use are all in the table', () => {
    const table: readonly string[] = errorCodes
    const named = [...users.matchAll(/'(TROUPE_[A-Z_]+)'/g)].map(([, name]) => name!)
    const environment = new Set(
      files.flatMap((file) => [...text(file).matchAll(/env\.(TROUPE_\w+)/g)].map(([, name]) => name!)),
    )
    expect([...new Set(named)].filter((name) => !table.includes(name) && !environment.has(name))).toEqual([])
  })

  test('and docs/errors.md say the same, both ways', () => {
    expect(text('docs/errors.md')).toBe(errorDocs())
    expect([...text('docs/errors.md').matchAll(/^\| `(TROUPE_\w+)`/gm)].map(([, name]) => name)).toEqual([
      ...errorCodes,
    ])
  })
})
