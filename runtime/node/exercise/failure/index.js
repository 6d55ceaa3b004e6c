module.exports = () => { throw new Error('exercise'); };
