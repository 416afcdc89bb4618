// Compiles WGSL as a browser does: by Tint, on Dawn's back end without a device.
//   node tint.mjs LAUNCHES FILE...
// LAUNCHES is the list of `cargo xtask offline --dump`, whose pipelines are made; of each FILE, all entry points.
import { create, globals } from 'webgpu';
import fs from 'node:fs';
import path from 'node:path';

Object.assign(globalThis, globals);
// A name of its own, since Dawn ends with this object.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
const [list, ...files] = process.argv.slice(2);

const pipelines = new Map(JSON.parse(fs.readFileSync(list)).map((launch) => [launch.pipeline, launch]));
const work = files.map((file) => ({ name: path.basename(file), file, entries: null, constants: {} }));
for (const [name, { entry, constants }] of pipelines) {
  work.push({ name, file: path.join(path.dirname(list), `${name}.wgsl`), entries: [entry], constants });
}

let refused = 0;
for (const { name, file, entries, constants } of work) {
  const code = fs.readFileSync(file, 'utf8');
  // A scope catches what would end the program otherwise; the errors are read from the messages.
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const faults = messages.filter((m) => m.type === 'error').map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
  const all = entries ?? [...code.matchAll(/@compute[^{]*?fn (\w+)/g)].map((found) => found[1]);
  for (const entryPoint of faults.length ? [] : all) {
    device.pushErrorScope('validation');
    const made = device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint, constants } });
    await made.catch((error) => faults.push(`${entryPoint}: ${error.message}`));
    await device.popErrorScope();
  }
  refused += faults.length > 0;
  faults.forEach((fault) => console.log(`${name}: ${fault.split('\n')[0]}`));
}
console.log(`Tint: ${files.length} files and ${pipelines.size} pipelines, ${refused} refused`);
process.exit(refused > 0 ? 1 : 0);
