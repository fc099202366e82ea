/** Cannot be imported. */
throw new Error('the settings are missing')
