module.exports = (ctx, req, res) => {
  res.setHeader('content-type', 'text/plain');
  req.pipe(res);
};
