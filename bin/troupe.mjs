#!/usr/bin/env node
// The command `troupe`: runs from source in a clone and from dist when installed. On a Node that is too old it starts
// itself again with the Node that the project has among its dependencies. Plain JavaScript, so that any Node can read it.
import { spawn } from 'node:child_process'
import { accessSync, existsSync, constants as fs, readFileSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
const isNewEnough = major > 22 || (major === 22 && minor >= 18)
const runsForLong = process.argv.some((arg) => arg === 'start' || arg === 'dev')
const smallYoungHeap = '--max-semi-space-size=16'
const ownNode = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))

if (isNewEnough) await run()
else if (existsSync(ownNode)) runWith(ownNode)
else {
  process.stderr.write(
    `error: troupe needs Node 22.18 or later; this is ${process.versions.node} (${process.execPath}).\n` +
      'Install a newer Node, or run `npm ci` in a clone, which brings one along.\n',
  )
  process.exitCode = 1
}

async function run() {
  endWithParent()
  keepYoungHeapSmall()
  module.enableCompileCache?.()
  const source = new URL('../src/runtime/cli/main.ts', import.meta.url)
  const entry = existsSync(source) ? source : new URL('../dist/runtime/cli/main.js', import.meta.url)
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  // A reader that has seen enough, like `head`, is no error.
  process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const { main } = await import(entry.href)
  process.exitCode = await main(process.argv.slice(2), version)
}

/**
 * A process that runs for long becomes, under the same id, one whose heap of young objects stays small (docs/adr/0017). V8 takes
 * this when it starts and not later. Where a process cannot become another, it stays as it is.
 */
function keepYoungHeapSmall() {
  const given = `${process.execArgv.join(' ')} ${process.env.NODE_OPTIONS ?? ''}`
  if (!runsForLong || process.channel !== undefined || /semi[-_]space/.test(given)) return
  try {
    // Node ends with its process when it cannot start the other one.
    accessSync(process.execPath, fs.X_OK)
    const args = [process.execPath, ...process.execArgv, smallYoungHeap, ...process.argv.slice(1)]
    process.execve?.(process.execPath, args, process.env)
  } catch {}
}

/** Started by an older Node: a crash of that process is a crash of this one. */
function endWithParent() {
  if (process.env.TROUPE_STARTED_AGAIN === undefined || process.channel === undefined) return
  delete process.env.TROUPE_STARTED_AGAIN
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel.unref()
}

function runWith(node) {
  const flags = runsForLong ? [smallYoungHeap] : []
  const child = spawn(node, [...flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, TROUPE_STARTED_AGAIN: '1' },
  })
  // On a terminal, Ctrl-C reaches the child by itself; a second one from here would stop it at once.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => {
    process.stderr.write(`error: ${node} cannot be started: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exit(signal === null ? code : 128 + constants.signals[signal])
  })
}
