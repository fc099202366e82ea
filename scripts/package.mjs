// In a clone the package's door is the source itself, which Node runs as it is. Node strips no types inside node_modules,
// so the tarball holds dist instead: `prepack` builds it and points package.json there, `postpack` puts package.json back.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const manifest = new URL('package.json', root)
const original = new URL('package.json.original', root)
const dist = new URL('dist/', root)

function build() {
  rmSync(dist, { recursive: true, force: true })
  const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', root))
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('the build failed')
}

function pointToDist() {
  if (existsSync(original))
    throw new Error('package.json.original is left from a pack that was cut off: put it back first')
  const text = readFileSync(manifest, 'utf8')
  const { scripts: _scripts, devDependencies: _development, ...published } = JSON.parse(text)
  for (const [door, file] of Object.entries(published.exports)) {
    const built = file.replace(/^\.\/src\/(.*)\.ts$/, './dist/$1')
    if (built !== file) published.exports[door] = { types: `${built}.d.ts`, default: `${built}.js` }
  }
  writeFileSync(original, text)
  writeFileSync(manifest, `${JSON.stringify(published, null, 2)}\n`)
}

const [step] = process.argv.slice(2)
if (step === 'build') build()
else if (step === 'prepack') {
  build()
  pointToDist()
} else if (step === 'postpack') {
  if (existsSync(original)) renameSync(original, manifest)
} else throw new Error('usage: package.mjs build|prepack|postpack')
