const features = require('cpu-features');
module.exports = async () => {
  const { arch, flags } = features();
  const kernel = /^flags\s*:(.*)$/m.exec(require('node:fs').readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' ') ?? [];
  return { arch: arch === 'x86' || arch === 'aarch64', sse2: [flags.sse2 === kernel.includes('sse2'), flags.avx2 === true === kernel.includes('avx2')] };
};
