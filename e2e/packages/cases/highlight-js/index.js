module.exports = async () => require('highlight.js').highlight('const a = 1;', { language: 'javascript' }).value;
