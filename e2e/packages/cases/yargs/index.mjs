import yargs from 'yargs';
const parse = argv => new Promise((resolve, reject) => yargs(argv).option('port', { type: 'number', demandOption: true })
  .option('tags', { type: 'array' }).count('v').exitProcess(false).help(false).version(false)
  .fail((message, err) => reject(err ?? new Error(message))).parse(argv, (err, a) => (err ? reject(err) : resolve(a))));
export default async () => {
  const { port, tags, v } = await parse(['-vv', '--port=80', '--tags', 'a', 'b']);
  return Response.json({ args: { port, tags, v }, message: await parse([]).catch(e => e.message) });
};
