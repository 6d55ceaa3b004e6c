module.exports = async (ctx) => {
  await null;
  return { status: 201, headers: { a: 'b', 'set-cookie': ['a=b', 'c=d'] }, body: ctx.body ?? 'text' };
};
