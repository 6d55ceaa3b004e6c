import { execa } from 'execa';
const node = code => execa(process.execPath, ['-e', code, 'a', 'b'], { reject: false });
export default async () => {
  const piped = await execa(process.execPath, ['-e', 'process.stdin.on("data", d => console.log(d.length))'], { input: 'hearth' });
  return Response.json({ out: (await node('console.log(process.argv.slice(1).join(" "))')).stdout, code: (await node('process.exit(3)')).exitCode, piped: piped.stdout });
};
