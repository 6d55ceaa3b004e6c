import PQueue from 'p-queue';
export default async () => {
  const queue = new PQueue({ concurrency: 1, autoStart: false }), out = [];
  queue.add(() => out.push('first'), { priority: 1 });
  queue.add(() => out.push('low'), { priority: 0 });
  queue.add(() => out.push('high'), { priority: 2 });
  queue.start();
  await queue.onIdle();
  return Response.json(out);
};
